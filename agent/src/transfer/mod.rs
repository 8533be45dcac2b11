//! Brings a backup set into the instance: nothing that comes from the store is believed before it is checked.
//!
//! In this order: the signature over the exact bytes of `set.json`, what the description says about itself and about
//! what is applied, the sizes of all objects, and then the objects themselves, each against its signed digest while
//! it streams. A digest is known to hold only at an object's end, so the bytes flow into a *staging* place, and what
//! turns it into the data starts when every object of every data store of the set matched.

mod admission;
mod decode;
mod description;
mod expectations;
mod fetch;

pub use admission::admit;
pub(crate) use decode::{Decoded, decode_into};
pub(crate) use description::{get, read_description, store_error};
pub use expectations::{Expectations, ExpectedProbe};
pub(crate) use expectations::{ExpectedDataStore, ExpectedSet, fetch_expectations};
pub(crate) use fetch::{Chunk, check_presence, fetch_verified};
