//! Values to bytes and back, in the wire format of postcard.

use std::io::{self, Read, Write};

use postcard::de_flavors::Flavor as In;
use postcard::ser_flavors::Flavor as Out;
use postcard::{Deserializer, Error, Result, Serializer};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// No text is longer, in bytes: names are cut at 255, and what else lines say earlier.
const TEXT_BYTES_MAX: usize = 4096;

/// Writes a value.
///
/// # Errors
/// What the writer says.
pub(super) fn encode(value: &impl Serialize, to: &mut impl Write) -> io::Result<()> {
    let mut serializer = Serializer { output: Output { to, failed: None } };
    let result = value.serialize(&mut serializer);
    match (serializer.output.failed, result) {
        (Some(failed), _) => Err(failed),
        (None, result) => result.map_err(io::Error::other),
    }
}

/// Reads a value. Of what is read no more is held than the value and one text.
///
/// # Errors
/// There are no such bytes to be read, whatever the reason.
pub(super) fn decode<T: DeserializeOwned>(from: &mut impl Read) -> Result<T> {
    T::deserialize(&mut Deserializer::from_flavor(Input { from, text: Vec::new() }))
}

struct Output<'a, W> {
    to: &'a mut W,
    failed: Option<io::Error>,
}

impl<W: Write> Out for Output<'_, W> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> Result<()> {
        self.to.write_all(bytes).map_err(|failed| {
            self.failed = Some(failed);
            Error::SerializeBufferFull
        })
    }

    fn finalize(self) -> Result<()> {
        Ok(())
    }
}

struct Input<'a, R> {
    from: &'a mut R,
    text: Vec<u8>,
}

impl<'a, R: Read> In<'a> for Input<'a, R> {
    type Remainder = ();
    type Source = &'a mut R;

    fn pop(&mut self) -> Result<u8> {
        let mut byte = [0];
        self.from.read_exact(&mut byte).map_err(|_| Error::DeserializeUnexpectedEnd)?;
        Ok(byte[0])
    }

    fn try_take_n(&mut self, _: usize) -> Result<&'a [u8]> {
        // Nothing that is read here borrows from where it is read.
        Err(Error::WontImplement)
    }

    fn try_take_n_temp<'b>(&'b mut self, bytes: usize) -> Result<&'b [u8]>
    where
        'a: 'b,
    {
        if bytes > TEXT_BYTES_MAX {
            return Err(Error::DeserializeUnexpectedEnd);
        }
        self.text.resize(bytes, 0);
        self.from.read_exact(&mut self.text).map_err(|_| Error::DeserializeUnexpectedEnd)?;
        Ok(&self.text)
    }

    fn finalize(self) -> Result<()> {
        Ok(())
    }
}
