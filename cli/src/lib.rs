//! Rekindle: recent, proven copies of IT services as cold images, and a command to start them
