//! The configuration file: any text is read or refused with words.

use std::path::Path;

use anabranch_server::config::{Layer, resolve};

/// Any bytes as the file.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Layer::from_toml(Path::new("a.toml"), text) {
        Ok(layer) => match resolve(Layer::default(), Layer::default(), layer) {
            Ok((_, settings)) => assert!(!settings.is_empty(), "{text:?}"),
            Err(error) => assert!(!error.to_string().is_empty(), "{text:?}"),
        },
        Err(error) => assert!(error.to_string().contains("a.toml"), "{error}"),
    }
}

/// A file with everything, and some that are wrong.
pub fn seeds() -> Vec<Vec<u8>> {
    let whole = "data = 'd'\nlisten = '127.0.0.1:1'\nadmin_listen = '127.0.0.1:2'\n\
                 durability = 'os'\nread_mode = 'pread'\naccount_id = '000000000001'\n\
                 region = 'eu-west-1'\ninsecure = true\nlog_level = 'debug'\n\
                 log_format = 'json'\n[[stream]]\nname = 'orders'\nshards = 4\n";
    [whole, "listn = 1", "listen = '", "[[stream]]\nshards = -1", "stream = 3"]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
}
