use std::ffi::OsString;
use std::path::Path;

use clap::Parser;

use super::layer::KEYS;
use super::*;

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    layer: Layer,
}

fn flags(line: &str) -> Layer {
    let words = std::iter::once("serve").chain(line.split_whitespace());
    Flags::try_parse_from(words).unwrap().layer
}

fn environment(pairs: &[(&str, &str)]) -> Result<Layer, ConfigError> {
    Layer::from_environment(|name| {
        pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
    })
}

fn file(text: &str) -> Result<Layer, ConfigError> {
    Layer::from_toml(Path::new("a.toml"), text)
}

fn origin_of(settings: &[Setting], name: &str) -> Origin {
    settings.iter().find(|s| s.name == name).unwrap().origin
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let (config, settings) = resolve(
        flags("--region from-flag"),
        environment(&[
            ("ANABRANCH_REGION", "from-environment"),
            ("ANABRANCH_ACCOUNT_ID", "111111111111"),
        ])
        .unwrap(),
        file(
            "region = 'from-file'\naccount_id = '222222222222'\ndurability = 'os'\n\
             [[stream]]\nname = 'orders'\nshards = 4\n",
        )
        .unwrap(),
    )
    .unwrap();
    assert_eq!(config.region, "from-flag");
    assert_eq!(config.account_id, "111111111111");
    assert_eq!(config.durability, Durability::Os);
    assert_eq!(config.listen, Config::default().listen);
    assert_eq!(config.streams, ["orders:4".parse().unwrap()]);
    let origins = ["region", "account_id", "durability", "listen"];
    assert_eq!(
        origins.map(|name| origin_of(&settings, name)),
        [Origin::Flag, Origin::Environment, Origin::File, Origin::Default]
    );
}

#[test]
fn every_setting_is_a_flag_a_variable_and_a_key() {
    let pairs = [
        ("data", "/d"),
        ("listen", "127.0.0.1:1"),
        ("admin_listen", "127.0.0.1:2"),
        ("durability", "os"),
        ("read_mode", "pread"),
        ("quotas", "aws"),
        ("control_delays", "aws"),
        ("request_mib", "64"),
        ("account_id", "123456789012"),
        ("region", "eu-west-1"),
        ("insecure", "true"),
        ("tls_cert", "/c.pem"),
        ("tls_key", "/k.pem"),
        ("tls_auto", "false"),
        ("credentials", "/people.toml"),
        ("log_level", "debug"),
        ("log_format", "json"),
        ("stream", "orders:4"),
    ];
    assert_eq!(pairs.map(|(key, _)| key), KEYS);
    let line: Vec<_> =
        pairs.iter().map(|(key, value)| format!("--{}={value}", key.replace('_', "-"))).collect();
    let variables: Vec<_> = pairs
        .iter()
        .map(|(key, value)| (format!("ANABRANCH_{}", key.to_uppercase()), *value))
        .collect();
    let variables: Vec<_> = variables.iter().map(|(n, v)| (n.as_str(), *v)).collect();
    let text: String = pairs
        .iter()
        .map(|(key, value)| match *key {
            "stream" => "stream = [{ name = 'orders', shards = 4 }]\n".to_owned(),
            "insecure" | "request_mib" | "tls_auto" => format!("{key} = {value}\n"),
            _ => format!("{key} = '{value}'\n"),
        })
        .collect();
    let from_flags = flags(&line.join(" "));
    assert_eq!(from_flags, environment(&variables).unwrap());
    assert_eq!(from_flags, file(&text).unwrap());
    let (_, settings) = resolve(from_flags, Layer::default(), Layer::default()).unwrap();
    assert!(settings.iter().all(|s| s.origin == Origin::Flag));
    assert_eq!(settings.len(), KEYS.len());
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_known_one() {
    let message = |text| file(text).unwrap_err().to_string();
    assert_eq!(
        message("durabilty = 'os'"),
        "a.toml: unknown key `durabilty`; did you mean `durability`?"
    );
    assert_eq!(
        message("admin-listen = '127.0.0.1:1'"),
        "a.toml: unknown key `admin-listen`; did you mean `admin_listen`?"
    );
    assert_eq!(
        message("[[stream]]\nname = 'a'\nshard = 1"),
        "a.toml: unknown key `stream.shard`; did you mean `stream.shards`?"
    );
    assert_eq!(
        message("quux = 1"),
        "a.toml: unknown key `quux`; `anabranch config show` lists the keys"
    );
}

#[test]
fn a_bad_value_names_its_place() {
    let refused = environment(&[("ANABRANCH_DURABILITY", "sometimes")]).unwrap_err();
    assert_eq!(refused.to_string(), "ANABRANCH_DURABILITY=\"sometimes\": expected fsync or os");
    let refused = file("region = 'a'\nlisten = 4567").unwrap_err().to_string();
    assert!(refused.contains("a.toml") && refused.contains("line 2"), "{refused}");
    for stream in ["orders", "orders:", "orders:0", "orders:10001", "a/b:1"] {
        assert!(stream.parse::<NewStream>().is_err(), "{stream}");
    }
    for account in ["", "12345678901", "12345678901x"] {
        assert!(check_account_id(account).is_err(), "{account}");
    }
    assert!(check_request_mib(15).is_err() && check_request_mib(16).is_ok());
    assert!(check_region("US").is_err() && check_region("eu-west-1").is_ok());
}

#[test]
fn tls_is_from_two_files_or_made_and_not_both() {
    let tls = |line: &str| {
        resolve(flags(line), Layer::default(), Layer::default()).map(|(config, _)| config.tls)
    };
    assert_eq!(tls("").unwrap(), None);
    assert_eq!(tls("--tls-auto").unwrap(), Some(TlsSource::Auto));
    let files = TlsSource::Files { certificate: "/c".into(), key: "/k".into() };
    assert_eq!(tls("--tls-cert /c --tls-key /k").unwrap(), Some(files));
    for (line, words) in [
        ("--tls-cert /c", "tls_cert is set and tls_key is not"),
        ("--tls-key /k", "tls_key is set and tls_cert is not"),
        ("--tls-auto --tls-cert /c --tls-key /k", "tls_auto"),
        ("--tls-auto --tls-key /k", "tls_auto"),
    ] {
        let refused = tls(line).unwrap_err().to_string();
        assert!(refused.contains(words), "{refused}");
    }
}

#[test]
fn a_variable_set_to_nothing_is_not_set() {
    let layer = environment(&[("ANABRANCH_DATA", ""), ("ANABRANCH_LISTEN", "")]).unwrap();
    assert_eq!(layer, Layer::default());
}
