//! The Task destroy
