//! The network: one port for every protocol, and what a peer may cost.
//!
//! ```text
//! port --accept--> connection --0x16--> TLS handshake (ALPN: h2, http/1.1)
//!                      |                      |
//!                      +-- anything else ----->+--> patient --> hyper --> service
//!                                                               (HTTP/1.1 | HTTP/2)
//! ```
//!
//! hyper-util's auto builder serves HTTP/1.1 and HTTP/2 with prior knowledge on one socket; we look
//! at the first byte before it does, for TLS. What a connection may hold stands in `limits`; how
//! long a peer may keep us waiting is the business of `patient` for whole connections, and of
//! [`PacedBody`] for the body of a request, which a door puts around what it reads.

mod any_certificate;
mod connection;
mod exchanges;
mod limits;
mod pace;
mod patient;
mod port;
mod refusal;
mod self_signed;
mod tls;
mod transport;

pub use self::pace::{Pace, PacedBody, TooSlow};
pub use self::port::{BindError, OpenPort, Port};
pub use self::self_signed::self_signed;
pub use self::tls::{Clients, Tls, TlsError};

#[cfg(test)]
mod tests;
