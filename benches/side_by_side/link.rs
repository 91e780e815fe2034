//! A long cable: a relay that delivers every octet a fixed time after it was sent, in both directions.
//!
//! It stands in for a distant server without the privileges that `tc netem` needs. The client's own connect
//! reaches only this relay and so costs nothing; the round trip it would have cost is added here, before the
//! server sees the connection. Bandwidth and TCP's slow start are not modelled.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Listens on a free port of the loopback and passes every connection on to `server`, `round_trip` away.
///
/// Returns the port. The threads live as long as the process.
pub(crate) fn open(server: u16, round_trip: Duration) -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            thread::spawn(move || carry(&client, server, round_trip));
        }
    });
    Ok(port)
}

fn carry(client: &TcpStream, server: u16, round_trip: Duration) -> io::Result<()> {
    let accepted = Instant::now();
    let one_way = round_trip / 2;
    client.set_nodelay(true)?;
    // Whoever speaks first does so after the connect: its round trip, and half of one for the last ACK.
    let answered = Arc::new(AtomicBool::new(false));
    let (up, to_server) = mpsc::channel();
    let (down, to_client) = mpsc::channel();
    let reader = client.try_clone()?;
    let connecting = Arc::clone(&answered);
    thread::spawn(move || {
        pump(reader, &up, || if connecting.load(Ordering::Acquire) { one_way } else { round_trip + one_way });
    });
    sleep_until(accepted + round_trip + one_way);
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server))?;
    server.set_nodelay(true)?;
    let reader = server.try_clone()?;
    thread::spawn(move || pump(reader, &down, || one_way));
    thread::spawn(move || deliver(&server, to_server, || ()));
    deliver(client, to_client, || answered.store(true, Ordering::Release));
    Ok(())
}

/// One burst and the moment it arrives; an empty one is the end of the stream.
type Burst = (Instant, Vec<u8>);

fn pump(mut from: TcpStream, to: &mpsc::Sender<Burst>, delay: impl Fn() -> Duration) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut buffer).unwrap_or(0);
        let burst = (Instant::now() + delay(), buffer[..length].to_vec());
        if to.send(burst).is_err() || length == 0 {
            return;
        }
    }
}

fn deliver(mut to: &TcpStream, bursts: mpsc::Receiver<Burst>, arrived: impl Fn()) {
    for (due, burst) in bursts {
        sleep_until(due);
        arrived();
        if burst.is_empty() || to.write_all(&burst).is_err() {
            break;
        }
    }
    // The peer may have closed first, which is no concern of a cable.
    let _ = to.shutdown(Shutdown::Write);
}

fn sleep_until(due: Instant) {
    thread::sleep(due.saturating_duration_since(Instant::now()));
}
