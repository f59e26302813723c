//! The protocol by which the stock command talks to an attached one-off dyno: a secret, a greeting, then bytes as they are.
//!
//! There are no frames. The exit status travels in the output, as a line that the command has the shell print at its end;
//! the client looks for it in each piece that arrives, so it must arrive in one.

/// What the server says first, in a record of its own: the client drops all that comes with it.
pub const GREETING: &[u8] = b"rendezvous\r\n";

/// What begins the line with the exit status: a character that no text has, and the words.
pub const SENTINEL: &str = "\u{ffff} heroku-command-exit-status: ";

/// The byte that stands for the end of the client's input (`VEOF`, termios(3)).
pub const END_OF_INPUT: u8 = 0x04;

/// Bytes of a sentinel line at most: the words and three digits.
const SENTINEL_BYTES_MAX: usize = SENTINEL.len() + 8;

/// Whether a command has its shell print its exit status.
#[must_use]
pub fn asks_for_status(command: &str) -> bool {
    command.contains(SENTINEL.trim_end())
}

/// The line that tells `status` when the shell did not come to print it.
#[must_use]
pub fn status_line(status: u8) -> Vec<u8> {
    format!("{SENTINEL}{status}\n").into_bytes()
}

/// Passes output on in pieces of which none ends inside of a sentinel line.
#[derive(Debug, Default)]
pub struct Pieces {
    held: Vec<u8>,
    has_seen_status: bool,
}

impl Pieces {
    /// What can be sent of all that has come, `output` the latest of it.
    pub fn push(&mut self, output: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(output);
        let end = match self.begin_of_sentinel() {
            None => self.held.len(),
            Some(at) => match self.held[at..].iter().position(|byte| *byte == b'\n') {
                Some(line) => {
                    self.has_seen_status = true;
                    at + line + 1
                }
                // Longer than any such line: it is something else.
                None if self.held.len() - at > SENTINEL_BYTES_MAX => self.held.len(),
                None => at,
            },
        };
        self.held.drain(..end).collect()
    }

    /// What is left at the end of the output.
    #[must_use]
    pub fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    /// Whether the exit status has been passed on.
    #[must_use]
    pub fn has_seen_status(&self) -> bool {
        self.has_seen_status
    }

    /// Where a sentinel begins, or what may become one at the end.
    fn begin_of_sentinel(&self) -> Option<usize> {
        let sentinel = SENTINEL.as_bytes();
        (0..self.held.len()).find(|at| {
            let rest = &self.held[*at..];
            let common = rest.len().min(sentinel.len());
            rest[0] == sentinel[0] && rest[..common] == sentinel[..common]
        })
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn the_status_line_arrives_in_one_piece() {
        let whole = [b"some \xef\xbf output\n", &status_line(7)[..]].concat();
        for cut in 0..whole.len() {
            let mut pieces = Pieces::default();
            let sent = [pieces.push(&whole[..cut]), pieces.push(&whole[cut..])];
            assert_eq!(sent.concat(), whole, "{cut}");
            assert!(pieces.has_seen_status(), "{cut}");
            let line = status_line(7);
            let holds = |piece: &Vec<u8>| piece.windows(line.len()).any(|part| part == line);
            assert!(sent.iter().any(holds), "{cut}: {sent:?}");
        }
    }

    #[test]
    fn other_output_is_not_held_back_for_long() {
        let mut pieces = Pieces::default();
        assert_eq!(pieces.push(b"text"), b"text");
        assert_eq!(pieces.push("\u{ffff}".as_bytes()), b"");
        assert_eq!(pieces.push(b" something else"), "\u{ffff} something else".as_bytes());
        assert_eq!(pieces.push("\u{ffff} heroku".as_bytes()), b"");
        assert_eq!(pieces.rest(), "\u{ffff} heroku".as_bytes());
        assert!(!pieces.has_seen_status());
        let endless = format!("{SENTINEL}{}", "7".repeat(80));
        assert_eq!(pieces.push(endless.as_bytes()), endless.as_bytes());
    }

    #[test]
    fn a_command_that_prints_its_status_is_told_apart() {
        assert!(asks_for_status("ls ; echo \"\u{ffff} heroku-command-exit-status: $?\""));
        assert!(!asks_for_status("echo heroku-command-exit-status: 1"));
    }
}
