//! What a durable map's keys and values are, and how they become bytes.

use rkyv::api::high::{HighDeserializer, HighSerializer, HighValidator};
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::Error;
use rkyv::ser::allocator::ArenaHandle;
use rkyv::util::AlignedVec;
use rkyv::{Archive, Deserialize, Serialize};

use crate::Schema;

/// A type whose values can be made durable.
///
/// Implemented for every type that derives rkyv's `Archive`, `Serialize` and `Deserialize`, and [`Schema`]; and for the types of the
/// standard library that have them.
///
/// Keys that are equal must archive to equal bytes, as they do when `Eq` and `Hash` are derived.
///
/// # Examples
/// ```
/// use rkyv::{Archive, Deserialize, Serialize};
/// use stillpoint_persist::{Durable, Schema};
///
/// #[derive(Archive, Serialize, Deserialize, Schema)]
/// struct Order {
///     client: String,
///     lots: Vec<(u32, i64)>,
/// }
///
/// fn is_durable<T: Durable>() {}
/// is_durable::<Order>();
/// ```
pub trait Durable:
    Sized
    + Archive<Archived: for<'a> CheckBytes<HighValidator<'a, Error>> + Deserialize<Self, HighDeserializer<Error>>>
    + for<'a> Serialize<HighSerializer<AlignedVec, ArenaHandle<'a>, Error>>
    + Schema
    + Send
    + Sync
    + 'static
{
}

impl<T> Durable for T where
    T: Archive<Archived: for<'a> CheckBytes<HighValidator<'a, Error>> + Deserialize<Self, HighDeserializer<Error>>>
        + for<'a> Serialize<HighSerializer<AlignedVec, ArenaHandle<'a>, Error>>
        + Schema
        + Send
        + Sync
        + 'static
{
}

/// Archives a value into an emptied buffer.
pub(crate) fn encode<T: Durable>(value: &T, buffer: &mut AlignedVec) -> Result<(), Error> {
    buffer.clear();
    *buffer = rkyv::api::high::to_bytes_in::<_, Error>(value, std::mem::take(buffer))?;
    Ok(())
}

/// Makes a value of archived bytes, which start at a multiple of 16 and hold nothing else.
///
/// The bytes are validated: they come from a file, and a checksum finds accidents, not malice.
pub(crate) fn decode<T: Durable>(bytes: &[u8]) -> Result<T, Error> {
    let archived = rkyv::access::<T::Archived, Error>(bytes)?;
    rkyv::deserialize::<T, Error>(archived)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_keys_archive_to_equal_bytes_whatever_the_buffer_held() {
        let mut first = AlignedVec::new();
        let mut second = AlignedVec::new();
        encode(&vec![u64::MAX; 9], &mut second).unwrap();
        for key in ["", "short", "a key that does not fit inline"] {
            encode(&(key.to_owned(), 7_u8, 9_u64), &mut first).unwrap();
            encode(&(key.to_owned(), 7_u8, 9_u64), &mut second).unwrap();
            assert_eq!(first.as_slice(), second.as_slice());
            assert_eq!(decode::<(String, u8, u64)>(&first).unwrap(), (key.to_owned(), 7, 9));
        }
    }
}
