//! Values as a body in JSON.

use bytes::{BufMut, BytesMut};

use crate::kinesis::value::Value;

/// Appends a value. Blobs are base64, times are seconds with at most three decimals.
pub fn write(value: &Value, out: &mut BytesMut) {
    match value {
        Value::Bool(true) => out.put_slice(b"true"),
        Value::Bool(false) => out.put_slice(b"false"),
        Value::Int(number) => write_int(*number, out),
        Value::Float(number) if number.is_finite() => {
            out.put_slice(number.to_string().as_bytes());
        }
        // JSON has no word for it.
        Value::Float(_) => out.put_slice(b"null"),
        Value::Text(text) => write_text(text, out),
        Value::Blob(bytes) => write_blob(bytes, out),
        Value::Time(time_ms) => write_time(*time_ms, out),
        Value::List(values) => {
            out.put_u8(b'[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.put_u8(b',');
                }
                write(value, out);
            }
            out.put_u8(b']');
        }
        Value::Map(members) => {
            out.put_u8(b'{');
            for (index, (name, value)) in members.iter().enumerate() {
                if index > 0 {
                    out.put_u8(b',');
                }
                write_text(name, out);
                out.put_u8(b':');
                write(value, out);
            }
            out.put_u8(b'}');
        }
    }
}

fn write_int(number: i64, out: &mut BytesMut) {
    if number < 0 {
        out.put_u8(b'-');
    }
    write_digits(number.unsigned_abs(), out);
}

fn write_digits(mut number: u64, out: &mut BytesMut) {
    // 2^64 has twenty digits.
    let mut digits = [0; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.put_slice(&digits[first..]);
}

/// Appends a time in milliseconds since 1970 as seconds: `1767225600.123`, and never with an
/// exponent, which some parsers of numbers do not take.
pub fn write_time(time_ms: i64, out: &mut BytesMut) {
    if time_ms < 0 {
        out.put_u8(b'-');
    }
    let time_ms = time_ms.unsigned_abs();
    write_digits(time_ms / 1000, out);
    let millis = time_ms % 1000;
    if millis > 0 {
        let digit = |value: u64| b'0' + (value % 10) as u8;
        let decimals = [b'.', digit(millis / 100), digit(millis / 10), digit(millis)];
        let zeros = decimals.iter().rev().take_while(|&&decimal| decimal == b'0').count();
        out.put_slice(&decimals[..decimals.len() - zeros]);
    }
}

/// Appends text as a string.
pub fn write_text(text: &str, out: &mut BytesMut) {
    out.reserve(text.len() + 2);
    out.put_u8(b'"');
    let mut rest = text.as_bytes();
    let is_special = |byte: &u8| *byte < 0x20 || matches!(*byte, b'"' | b'\\');
    while let Some(plain) = rest.iter().position(is_special) {
        out.put_slice(&rest[..plain]);
        match rest[plain] {
            byte @ (b'"' | b'\\') => out.put_slice(&[b'\\', byte]),
            b'\n' => out.put_slice(b"\\n"),
            b'\r' => out.put_slice(b"\\r"),
            b'\t' => out.put_slice(b"\\t"),
            byte => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.put_slice(b"\\u00");
                out.put_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
        }
        rest = &rest[plain + 1..];
    }
    out.put_slice(rest);
    out.put_u8(b'"');
}

/// Appends bytes as a string in base64.
pub fn write_blob(bytes: &[u8], out: &mut BytesMut) {
    out.reserve(bytes.len().div_ceil(3) * 4 + 2);
    out.put_u8(b'"');
    crate::kinesis::base64::append(bytes, out);
    out.put_u8(b'"');
}
