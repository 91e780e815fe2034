//! A SOCKS5 proxy (RFC 1928, RFC 1929) that leads to one server, whatever it is asked for.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::channel::{PATIENCE, Socket};
use crate::door::{Door, Key};

/// No method that the client offers will do.
const NONE_FITS: u8 = 0xff;

/// A proxy that runs; it stops on drop.
pub struct Socks {
    port: u16,
    key: Option<Key>,
    asked: Arc<Mutex<Vec<String>>>,
    accepting: Option<JoinHandle<()>>,
}

/// What a proxy is like.
#[derive(Clone)]
struct Manners {
    login: Option<(String, String)>,
    code: u8,
    target: u16,
}

impl Socks {
    /// A proxy without login that connects to `target` on loopback.
    ///
    /// # Panics
    /// It cannot listen.
    pub fn to(target: u16) -> Self {
        Self::start(Manners { login: None, code: 0, target })
    }

    /// The same for whoever knows this login.
    ///
    /// # Panics
    /// It cannot listen.
    pub fn with_login(target: u16, username: &str, password: &str) -> Self {
        Self::start(Manners { login: Some((username.to_owned(), password.to_owned())), code: 0, target })
    }

    /// A proxy that answers every request with this code.
    ///
    /// # Panics
    /// It cannot listen.
    pub fn refusing(code: u8) -> Self {
        Self::start(Manners { login: None, code, target: 0 })
    }

    fn start(manners: Manners) -> Self {
        let (door, key, address) = Door::tcp();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&asked);
        let accepting = thread::spawn(move || {
            while let Some(Socket::Tcp(stream)) = door.next() {
                // One client at a time is enough; one that breaks off is its own affair.
                let _ = serve(stream, &manners, &told);
            }
        });
        Self { port: address.port(), key: Some(key), asked, accepting: Some(accepting) }
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it was asked to connect to, `HOST:PORT` each, as the client said it.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Socks {
    fn drop(&mut self) {
        self.key = None;
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn serve(mut client: TcpStream, manners: &Manners, asked: &Mutex<Vec<String>>) -> io::Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    client.set_write_timeout(Some(PATIENCE))?;
    let [_, count] = octets(&mut client)?;
    let offered = some(&mut client, count)?;
    let wanted = if manners.login.is_some() { 2 } else { 0 };
    if !offered.contains(&wanted) {
        return client.write_all(&[5, NONE_FITS]);
    }
    client.write_all(&[5, wanted])?;
    if let Some((username, password)) = &manners.login {
        let [_, length] = octets(&mut client)?;
        let name = some(&mut client, length)?;
        let [length] = octets(&mut client)?;
        let word = some(&mut client, length)?;
        let is_right = name == username.as_bytes() && word == password.as_bytes();
        client.write_all(&[1, u8::from(!is_right)])?;
        if !is_right {
            return Ok(());
        }
    }
    let [_, _, _, kind] = octets(&mut client)?;
    let host = match kind {
        1 => IpAddr::from(Ipv4Addr::from(octets(&mut client)?)).to_string(),
        4 => IpAddr::from(Ipv6Addr::from(octets(&mut client)?)).to_string(),
        _ => {
            let [length] = octets(&mut client)?;
            format!("name {}", String::from_utf8_lossy(&some(&mut client, length)?))
        }
    };
    let port = u16::from_be_bytes(octets(&mut client)?);
    asked.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{host}:{port}"));
    client.write_all(&[5, manners.code, 0, 1, 0, 0, 0, 0, 0, 0])?;
    if manners.code != 0 {
        return Ok(());
    }
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, manners.target))?;
    server.set_read_timeout(Some(PATIENCE))?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    let upwards = thread::spawn(move || {
        let _ = io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    let _ = io::copy(&mut server, &mut client);
    let _ = client.shutdown(Shutdown::Both);
    let _ = upwards.join();
    Ok(())
}

fn octets<const N: usize>(stream: &mut TcpStream) -> io::Result<[u8; N]> {
    let mut octets = [0; N];
    stream.read_exact(&mut octets)?;
    Ok(octets)
}

fn some(stream: &mut TcpStream, count: u8) -> io::Result<Vec<u8>> {
    let mut octets = vec![0; usize::from(count)];
    stream.read_exact(&mut octets)?;
    Ok(octets)
}
