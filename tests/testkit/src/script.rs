//! A server that says exactly what a file tells it, and compares what it hears.
//!
//! A dialogue is a list of lines:
//!
//! | Line | Meaning |
//! |---|---|
//! | `S: text` | says the text and CRLF; lines in a row leave in one write |
//! | `raw: text` | says these octets (`\r \n \0 \xHH`), nothing added |
//! | `C: pattern` | expects one line; `*` stands for anything |
//! | `data` | takes the message up to the lone dot |
//! | `bdat` | expects `BDAT n LAST` and takes the n octets |
//! | `tls` | makes the TLS handshake |
//! | `endless: text` | says these octets again and again until the client is gone, 4 MB at most |
//! | `slow: text` | says these octets one at a time, a tenth of a second apart, until the client is gone |
//! | `hang` | says nothing until the client is gone |
//! | `deaf` | neither reads nor says anything until the play is over |
//! | `close` | closes the connection |
//! | `reset` | waits for the client's next octets and resets the connection |
//! | `end` | expects the client to close without another octet |
//! | `--` | the client comes back: a new connection |

use std::io;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::case::{escaped, matches};
use crate::certs::{Certs, Identity};
use crate::channel::{Channel, PATIENCE};
use crate::door::{Door, Key};

/// The pause between two octets of `slow`.
const PACE: Duration = Duration::from_millis(100);

/// The most that `endless` says, in octets.
const ENDLESS: usize = 4 << 20;

/// What a script was told.
#[derive(Clone, Debug, Default)]
pub struct Dialogue {
    /// Every line said (`S: `) and heard (`C: `), in order.
    pub lines: Vec<String>,
    /// The messages that arrived whole, dots unstuffed.
    pub messages: Vec<Vec<u8>>,
    /// What was expected and did not happen, one sentence each.
    pub complaints: Vec<String>,
}

/// A script that is being played.
pub struct Script {
    port: u16,
    key: Key,
    player: JoinHandle<Dialogue>,
}

impl Script {
    /// Listens on 127.0.0.1 and plays `text` to whoever connects.
    ///
    /// # Panics
    /// It cannot listen.
    pub fn play(text: &str, identity: Identity) -> Self {
        let (door, key, address) = Door::tcp();
        let lines: Vec<String> =
            text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect();
        let player = thread::spawn(move || {
            let mut dialogue = Dialogue::default();
            for part in lines.split(|line| line == "--") {
                let Some(client) = door.next() else {
                    dialogue.complaints.push("the client did not connect".to_owned());
                    break;
                };
                let result = Channel::new(client, false)
                    .and_then(|channel| Player { channel, identity, door: &door, dialogue: &mut dialogue }.play(part));
                if let Err(error) = result {
                    dialogue.lines.push(format!("! {error}"));
                }
            }
            dialogue
        });
        Self { port: address.port(), key, player }
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends the play and hands out what was heard.
    ///
    /// # Panics
    /// The script asks for something that is not in the table above.
    pub fn finish(self) -> Dialogue {
        drop(self.key);
        self.player.join().expect("a script that can be played")
    }
}

struct Player<'a> {
    channel: Channel,
    identity: Identity,
    /// Closed once the client's process is over.
    door: &'a Door,
    dialogue: &'a mut Dialogue,
}

impl Player<'_> {
    fn play(mut self, lines: &[String]) -> io::Result<()> {
        for line in lines {
            let (verb, rest) = line.split_once(": ").unwrap_or((line.trim_end_matches(':'), ""));
            match verb {
                "S" => {
                    self.dialogue.lines.push(line.clone());
                    self.channel.say(format!("{rest}\r\n").as_bytes());
                }
                "raw" => {
                    self.dialogue.lines.push(line.clone());
                    self.channel.say(&escaped(rest));
                }
                "C" => {
                    let Some(heard) = self.hear()? else {
                        self.complain(format!("expected `{rest}`, but the client closed the connection"));
                        return Ok(());
                    };
                    if !matches(rest, &heard) {
                        self.complain(format!("expected `{rest}`, heard `{heard}`"));
                        return Ok(());
                    }
                }
                "data" => match self.channel.data()? {
                    Some(octets) => self.take(octets),
                    None => self.complain("expected a message, but the client closed the connection".to_owned()),
                },
                "bdat" => self.bdat()?,
                "tls" => {
                    let first = self.dialogue.lines.is_empty();
                    self.channel.start_tls(Certs::shared().config(self.identity), first)?;
                    self.dialogue.lines.push("* TLS".to_owned());
                }
                "endless" => {
                    let octets = escaped(rest).repeat(4096 / rest.len().max(1) + 1);
                    for _ in 0..ENDLESS / octets.len() {
                        self.channel.say(&octets);
                        self.channel.flush()?;
                    }
                }
                "slow" => {
                    for octet in escaped(rest) {
                        self.channel.say(&[octet]);
                        self.channel.flush()?;
                        if self.channel.is_closed_within(PACE) {
                            return Ok(());
                        }
                    }
                }
                "hang" => {
                    let late = self.channel.wait_for_close();
                    self.note_late(&late);
                    return Ok(());
                }
                "end" => {
                    let late = self.channel.wait_for_close();
                    self.note_late(&late);
                    if !late.is_empty() {
                        self.complain(format!("expected the end, heard {:?}", String::from_utf8_lossy(&late)));
                    }
                }
                "deaf" => {
                    self.channel.flush()?;
                    self.door.wait_until_closed(PATIENCE);
                    return Ok(());
                }
                "close" => return self.channel.flush(),
                "reset" => {
                    self.channel.leave_input_unread();
                    return Ok(());
                }
                _ => panic!("{line:?} is not a line of a script"),
            }
        }
        self.channel.flush()?;
        let late = self.channel.wait_for_close();
        self.note_late(&late);
        Ok(())
    }

    fn hear(&mut self) -> io::Result<Option<String>> {
        let line = self.channel.line()?.map(|line| String::from_utf8_lossy(&line).into_owned());
        self.dialogue.lines.extend(line.as_ref().map(|line| format!("C: {line}")));
        Ok(line)
    }

    fn bdat(&mut self) -> io::Result<()> {
        let heard = self.hear()?.unwrap_or_default();
        let words: Vec<&str> = heard.split(' ').collect();
        let size = match words[..] {
            ["BDAT", size, "LAST"] => size.parse::<usize>().ok(),
            _ => None,
        };
        let Some(size) = size else {
            self.complain(format!("expected BDAT n LAST, heard `{heard}`"));
            return Ok(());
        };
        let octets = self.channel.octets(size)?;
        if octets.len() == size {
            self.take(octets);
        }
        Ok(())
    }

    fn take(&mut self, octets: Vec<u8>) {
        self.dialogue.lines.push(format!("* {} octets of message", octets.len()));
        self.dialogue.messages.push(octets);
    }

    fn note_late(&mut self, late: &[u8]) {
        let late = String::from_utf8_lossy(late);
        self.dialogue.lines.extend(late.lines().map(|line| format!("C: {line}")));
    }

    fn complain(&mut self, complaint: String) {
        self.dialogue.complaints.push(complaint);
    }
}
