use std::io::{Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use super::*;
use crate::dns::{Qtype, Rdata, Said};

/// A server that does to each name what its first label says, and counts the questions it got.
struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start() -> Self {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
            // The same number for both; somebody may have it.
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (by_udp, by_tcp) = (asked.clone(), asked.clone());
        // Both end with the process; nothing waits for them.
        thread::spawn(move || {
            let dropped = AtomicUsize::new(0);
            let mut buffer = [0; 2048];
            while let Ok((size, peer)) = udp.recv_from(&mut buffer) {
                let query = &buffer[..size];
                by_udp.lock().unwrap().push(format!("udp {}", name(query)));
                for reply in replies(query, false, &dropped) {
                    let _ = udp.send_to(&reply, peer);
                }
            }
        });
        thread::spawn(move || {
            for stream in tcp.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut length = [0; 2];
                if stream.read_exact(&mut length).is_err() {
                    continue;
                }
                let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
                if stream.read_exact(&mut query).is_err() {
                    continue;
                }
                by_tcp.lock().unwrap().push(format!("tcp {}", name(&query)));
                for reply in replies(&query, true, &AtomicUsize::new(0)) {
                    // In two pieces, as a network may have it.
                    let octets = [&(reply.len() as u16).to_be_bytes()[..], &reply].concat();
                    let _ = stream.write_all(&octets[..5]);
                    let _ = stream.write_all(&octets[5..]);
                }
            }
        });
        Self { address, asked }
    }

    fn questions(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// The end of the question section.
fn end(query: &[u8]) -> usize {
    let mut at = 12;
    while query[at] != 0 {
        at += 1 + usize::from(query[at]);
    }
    at + 5
}

fn name(query: &[u8]) -> String {
    let mut labels = Vec::new();
    let mut at = 12;
    while query[at] != 0 {
        let length = usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..=at + length]).into_owned());
        at += 1 + length;
    }
    labels.join(".")
}

fn wire_name(name: &str) -> Vec<u8> {
    let labels = name.split('.').flat_map(|label| [vec![label.len() as u8], label.as_bytes().to_vec()].concat());
    labels.chain([0]).collect()
}

/// A reply with these flags and response code, and these records of the name that was asked for.
fn reply(query: &[u8], flags: u8, code: u8, records: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut octets = query[..2].to_vec();
    octets.extend([0x81 | flags, 0x80 | code, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
    octets.extend(&query[12..end(query)]);
    for (kind, data) in records {
        octets.extend([0xc0, 12]);
        octets.extend(kind.to_be_bytes());
        octets.extend([0, 1, 0, 0, 0, 60]);
        octets.extend((data.len() as u16).to_be_bytes());
        octets.extend(data);
    }
    octets
}

fn replies(query: &[u8], by_tcp: bool, dropped: &AtomicUsize) -> Vec<Vec<u8>> {
    const CUT: u8 = 2;
    let name = name(query);
    let (a, cname) = (1, 5);
    let good = || reply(query, 0, 0, &[(a, vec![192, 0, 2, 1])]);
    let alias = |target: &str| reply(query, 0, 0, &[(cname, wire_name(target))]);
    let forged = || {
        let mut octets = reply(query, 0, 0, &[(a, vec![203, 0, 113, 66])]);
        octets[1] ^= 1;
        octets
    };
    match name.split('.').next().unwrap() {
        "good" | "end" => vec![good()],
        "slow" if dropped.fetch_add(1, Ordering::Relaxed) == 0 => vec![],
        "slow" => vec![good()],
        "cut" if !by_tcp => vec![reply(query, CUT, 0, &[])],
        "cut" => vec![reply(query, 0, 0, &[(16, [vec![200], vec![b'x'; 200]].concat().repeat(40))])],
        "cutagain" => vec![reply(query, CUT, 0, &[])],
        "forged" => {
            let mut other = reply(query, 0, 0, &[(a, vec![203, 0, 113, 66])]);
            other[13] ^= 0x20 ^ 1;
            let mut short = good();
            short.truncate(6);
            let mut asks = forged();
            (asks[1], asks[2]) = (query[1], 1);
            vec![forged(), other, short, asks, vec![], good()]
        }
        "flood" if !by_tcp => (0..50).map(|_| forged()).collect(),
        "flood" => vec![good()],
        "absent" => vec![reply(query, 0, 3, &[])],
        "empty" => vec![reply(query, 0, 0, &[])],
        "fail" => vec![reply(query, 0, 2, &[])],
        "refused" => vec![reply(query, 0, 5, &[])],
        "old" if query[11] == 1 => vec![reply(query, 0, 1, &[])],
        "old" => vec![good()],
        "alias" => vec![alias("b.example")],
        "b" => vec![alias("end.example")],
        "gone" => vec![alias("absent.example")],
        "self" => vec![alias("self.example")],
        "ring" => vec![alias("gnir.example")],
        "gnir" => vec![alias("ring.example")],
        "garbled" => {
            let mut octets = good();
            octets.truncate(octets.len() - 2);
            vec![octets]
        }
        "many" => {
            let mut octets = good();
            (octets[6], octets[7]) = (0xff, 0xff);
            vec![octets]
        }
        "pointer" => {
            let mut octets = reply(query, 0, 0, &[(cname, vec![0xc0, 0])]);
            let at = octets.len() - 2;
            octets[at + 1] = at as u8;
            vec![octets]
        }
        // Anything else is not answered.
        _ => vec![],
    }
}

fn ask(client: &mut Client, names: &[&str], kind: Qtype) -> Vec<Resolved> {
    let deadline = Deadline::after(Duration::from_secs(30));
    client.settle(deadline, |known| {
        names.iter().for_each(|name| known.expect(name, kind));
        names.iter().map(|name| known.ask(name, kind)).collect()
    })
}

fn patient(address: SocketAddr, timeout: u64, attempts: u32) -> Client {
    Client::new(Servers { addresses: vec![address], timeout: Duration::from_millis(timeout), attempts })
}

fn good() -> Said {
    Said::Records(vec![Rdata::Address("192.0.2.1".parse().unwrap())])
}

#[test]
fn what_servers_say_and_what_they_do_not() {
    let server = Server::start();
    let mut client = patient(server.address, 5000, 1);
    for (name, aliases, said) in [
        ("good.example", &[][..], good()),
        ("Good.EXAMPLE.", &[], good()),
        ("absent.example", &[], Said::NoName),
        ("empty.example", &[], Said::NoRecord),
        ("forged.example", &[], good()),
        ("flood.example", &[], good()),
        ("old.example", &[], good()),
        ("alias.example", &["b.example", "end.example"], good()),
        ("gone.example", &["absent.example"], Said::NoName),
    ] {
        let answer = ask(&mut client, &[name], Qtype::A).remove(0);
        assert_eq!(
            (&answer.aliases, &answer.said),
            (&aliases.iter().map(|name| (*name).to_owned()).collect(), &said),
            "{name}"
        );
    }
    let server_name = format!("name server {}", server.address);
    for (name, why) in [
        ("fail.example", format!("{server_name}: server failure (SERVFAIL)")),
        ("refused.example", format!("{server_name}: the question is refused (REFUSED)")),
        ("garbled.example", format!("{server_name}: its answer cannot be read")),
        ("many.example", format!("{server_name}: its answer cannot be read")),
        ("pointer.example", format!("{server_name}: its answer cannot be read")),
        ("cutagain.example", format!("{server_name}: its answer is cut even over TCP")),
        ("self.example", "names that stand for one another lead nowhere (CNAME)".to_owned()),
        ("ring.example", "names that stand for one another lead nowhere (CNAME)".to_owned()),
    ] {
        assert_eq!(ask(&mut client, &[name], Qtype::A)[0].why_unasked(), Some(why.as_str()), "{name}");
    }
    let texts = ask(&mut client, &["cut.example"], Qtype::Txt);
    assert_eq!(texts[0].texts().map(|text| text.len()).collect::<Vec<_>>(), [8000]);
    let questions = server.questions();
    assert_eq!(questions.iter().filter(|question| *question == "udp good.example").count(), 1, "asked once a run");
    assert!(questions.contains(&"tcp cut.example".to_owned()) && questions.contains(&"tcp flood.example".to_owned()));
    assert!(client.answers().any(|line| line == "gone.example A: -> absent.example no such name"));
}

#[test]
fn silence_is_tried_again_and_ends_with_the_deadline() {
    let server = Server::start();
    let mut client = patient(server.address, 300, 2);
    assert_eq!(ask(&mut client, &["slow.example"], Qtype::A)[0].said, good());
    let begun = Instant::now();
    // All at once: as long as one of them.
    let names: Vec<_> = (0..60).map(|number| format!("silent.n{number}.example")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).chain(["good.example"]).collect();
    let deadline = Deadline::after(Duration::from_millis(1500));
    let answers = client.settle(deadline, |known| {
        names.iter().for_each(|name| known.expect(name, Qtype::A));
        names.iter().map(|name| known.ask(name, Qtype::A)).collect::<Result<Vec<_>, _>>()
    });
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let silent = answers.iter().filter(|answer| answer.why_unasked().is_some()).count();
    assert!(silent >= 60, "{silent}");
    assert_eq!(answers[0].why_unasked(), Some(format!("name server {} does not answer", server.address).as_str()));
    let late = client.settle(Deadline::after(Duration::ZERO), |known| known.ask("late.example", Qtype::A));
    assert_eq!(late.why_unasked(), Some("there was no time left"));
}

#[test]
fn another_server_may_know_more() {
    let (server, nobody) = (Server::start(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let closed = nobody.local_addr().unwrap();
    drop(nobody);
    let addresses = vec![closed, server.address];
    let servers = Servers { addresses, timeout: Duration::from_secs(5), attempts: 1 };
    let answers = ask(&mut Client::new(servers), &["good.example", "absent.example", "fail.example"], Qtype::A);
    assert_eq!((&answers[0].said, &answers[1].said), (&good(), &Said::NoName));
    assert!(answers[2].why_unasked().unwrap().ends_with("server failure (SERVFAIL)"));
    let alone = ask(&mut patient(closed, 5000, 1), &["good.example"], Qtype::A);
    assert_eq!(alone[0].why_unasked(), Some(format!("name server {closed}: nothing listens there").as_str()));
}

#[test]
fn a_run_asks_so_much_and_no_more() {
    let server = Server::start();
    let names: Vec<_> = (0..LIMIT + 5).map(|number| format!("empty.n{number}.example")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut client = patient(server.address, 5000, 2);
    let answers = ask(&mut client, &names, Qtype::A);
    let left_out =
        answers.iter().filter(|answer| answer.why_unasked() == Some("too many questions in one run")).count();
    assert_eq!((left_out, client.count()), (5, LIMIT));
}
