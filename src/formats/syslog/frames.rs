/// Of a longer message no more is kept.
pub const FRAME_BYTES_MAX: usize = 8 * 1024;
/// No message is said to be longer than a number of so many digits says.
const LENGTH_DIGITS_MAX: usize = 6;

/// Messages in a stream of TCP (RFC 6587): each with its length in front, or each up to a line end. Which it is, each
/// message shows itself: one with a length begins with a digit. Holds at most [`FRAME_BYTES_MAX`].
#[derive(Debug, Default)]
pub struct Frames {
    state: State,
    kept: Vec<u8>,
    is_cut: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Between,
    /// In the length, so far.
    Length(usize),
    /// So many bytes are to come.
    Counted(usize),
    Line,
}

/// A message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    pub bytes: &'a [u8],
    /// It was longer.
    pub is_cut: bool,
}

impl Frames {
    /// Takes what came next, and gives each message that ends in it.
    pub fn take(&mut self, mut bytes: &[u8], mut each: impl FnMut(Frame<'_>)) {
        while let Some((&first, rest)) = bytes.split_first() {
            match self.state {
                State::Between => match first {
                    // Some senders end a counted message with a line end that they do not count.
                    b'\n' | b'\r' | 0 => bytes = rest,
                    b'1'..=b'9' => self.state = State::Length(0),
                    _ => self.state = State::Line,
                },
                State::Length(length) => {
                    match first {
                        b'0'..=b'9' if self.kept.len() < LENGTH_DIGITS_MAX => {
                            self.state = State::Length(length * 10 + usize::from(first - b'0'));
                            self.kept.push(first);
                            bytes = rest;
                        }
                        b' ' => {
                            self.kept.clear();
                            self.state = State::Counted(length);
                            bytes = rest;
                        }
                        // It was the beginning of a line.
                        _ => self.state = State::Line,
                    }
                }
                State::Counted(left) => {
                    let here = left.min(bytes.len());
                    let (mine, rest) = bytes.split_at_checked(here).unwrap_or((bytes, &[]));
                    self.keep(mine);
                    bytes = rest;
                    self.state = State::Counted(left - here);
                    if left == here {
                        self.give(&mut each);
                    }
                }
                State::Line => {
                    let end = bytes.iter().position(|byte| matches!(byte, b'\n' | 0));
                    let (mine, rest) = match end {
                        Some(end) => (bytes.get(..end), bytes.get(end + 1..)),
                        None => (Some(bytes), None),
                    };
                    self.keep(mine.unwrap_or_default());
                    bytes = rest.unwrap_or_default();
                    if end.is_some() {
                        self.give(&mut each);
                    }
                }
            }
        }
    }

    /// Nothing more comes: gives what has come of a message.
    pub fn end(&mut self, mut each: impl FnMut(Frame<'_>)) {
        if self.state != State::Between {
            self.is_cut |= matches!(self.state, State::Counted(_));
            self.give(&mut each);
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = FRAME_BYTES_MAX - self.kept.len().min(FRAME_BYTES_MAX);
        self.is_cut |= bytes.len() > room;
        self.kept.extend(bytes.iter().take(room));
    }

    fn give(&mut self, each: &mut impl FnMut(Frame<'_>)) {
        each(Frame { bytes: &self.kept, is_cut: self.is_cut });
        self.kept.clear();
        // A large message leaves no large room behind.
        self.kept.shrink_to(1024);
        (self.is_cut, self.state) = (false, State::Between);
    }
}
