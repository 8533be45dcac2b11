//! A cloud in memory that behaves: late, lagging, short of capacity, and faulty on demand
