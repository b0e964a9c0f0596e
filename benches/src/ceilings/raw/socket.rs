//! Bytes over loopback TCP, from one thread to another.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Result;

/// Bytes that are written at a time.
const WRITE_BYTES: usize = 64 << 10;

/// Bytes per second from one end to the other.
pub(in super::super) fn one_way(seconds: f64) -> Result<f64> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let mut sender = TcpStream::connect(listener.local_addr()?)?;
    let (mut receiver, _) = listener.accept()?;
    sender.set_nodelay(true)?;
    let time = Duration::from_secs_f64(seconds);
    let writer = std::thread::spawn(move || -> std::io::Result<()> {
        let bytes = vec![b'x'; WRITE_BYTES];
        let begun = Instant::now();
        while begun.elapsed() < time {
            sender.write_all(&bytes)?;
        }
        Ok(())
    });
    let (begun, mut read, mut buffer) = (Instant::now(), 0u64, vec![0; 1 << 20]);
    loop {
        match receiver.read(&mut buffer)? {
            0 => break,
            bytes => read += bytes as u64,
        }
    }
    let rate = read as f64 / begun.elapsed().as_secs_f64();
    writer.join().expect("it does not panic")?;
    Ok(rate)
}
