use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use http::Request;

use super::*;

/// A file with somebody who may do everything.
pub(crate) const ROOT: &str = r#"
[[credential]]
name = "root"
access_key = "AKROOT"
secret = "0123456789abcdefROOT"
policies = [{ Version = "2012-10-17", Statement = { Effect = "Allow", Action = "*", Resource = "*" } }]
"#;

/// The credentials of a file with that text.
pub(crate) fn of_text(text: &str) -> Credentials {
    let table = Table::new(file::parse(text).unwrap());
    Credentials { path: Some("/credentials".into()), table: RwLock::new(Some(Arc::new(table))) }
}

const SECRET: &str = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY";

fn text() -> String {
    format!(
        "[[credential]]\nname = 'writer'\naccess_key = 'AKWRITER'\nsecret = '{SECRET}'\npolicies = \
         [{{ Version = '2012-10-17', Statement = [{{ Effect = 'Allow', Action = 'kinesis:Put*', \
         Resource = '*' }}] }}]\n"
    )
}

fn written(directory: &Path, mode: u32, text: &str) -> PathBuf {
    let path = directory.join("credentials.toml");
    let _ = std::fs::remove_file(&path);
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(mode).open(&path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    path
}

/// Whose token it is, without a certificate.
fn of_token(
    credentials: &Credentials,
    headers: &HeaderMap,
) -> Result<Option<Arc<Credential>>, AuthError> {
    credentials.of_connection(headers, None)
}

fn with_token(token: &str) -> HeaderMap {
    let request = Request::builder().header(AUTHORIZATION, token).body(()).unwrap();
    request.into_parts().0.headers
}

#[test]
fn a_token_is_known_by_key_and_secret() {
    let directory = tempfile::tempdir().unwrap();
    let credentials = Credentials::open(&written(directory.path(), 0o600, &text())).unwrap();
    assert!(credentials.exist());
    let known = of_token(&credentials, &with_token(&format!("Bearer AKWRITER:{SECRET}"))).unwrap();
    assert_eq!(known.unwrap().name, "writer");
    for token in [
        format!("Bearer AKWRITER:{}", &SECRET[1..]),
        format!("Bearer AKWRITERS:{SECRET}"),
        "Bearer AKWRITER:".to_owned(),
    ] {
        let refused = of_token(&credentials, &with_token(&token)).unwrap_err();
        assert_eq!(refused, AuthError::UnrecognizedClient, "{token}");
    }
    for token in ["Bearer AKWRITER", &format!("Basic AKWRITER:{SECRET}"), "Bearer"] {
        let refused = of_token(&credentials, &with_token(token)).unwrap_err();
        assert_eq!(refused, AuthError::MissingAuthenticationToken, "{token}");
    }
    let refused = of_token(&credentials, &HeaderMap::new()).unwrap_err();
    assert_eq!(refused, AuthError::MissingAuthenticationToken);
    assert!(of_token(&Credentials::none(), &HeaderMap::new()).unwrap().is_none());
}

#[test]
fn a_certificate_is_known_by_its_fingerprint_and_a_token_goes_before_it() {
    let shown = Fingerprint::of(b"a certificate");
    let by_certificate =
        format!("{}[[credential]]\nname = 'reader'\ncertificates = ['{shown}']\n", text());
    let credentials = of_text(&by_certificate);
    let nothing = HeaderMap::new();
    let known = credentials.of_connection(&nothing, Some(&shown)).unwrap().unwrap();
    assert_eq!(known.name, "reader");
    let token = with_token(&format!("Bearer AKWRITER:{SECRET}"));
    let known = credentials.of_connection(&token, Some(&shown)).unwrap().unwrap();
    assert_eq!(known.name, "writer");
    let wrong = with_token("Bearer AKWRITER:0123456789abcdef");
    let refused = credentials.of_connection(&wrong, Some(&shown)).unwrap_err();
    assert_eq!(refused, AuthError::UnrecognizedClient, "a wrong token is not made up for");
    let other = Fingerprint::of(b"another");
    let refused = credentials.of_connection(&nothing, Some(&other)).unwrap_err();
    assert_eq!(refused, AuthError::UnrecognizedClient);
    let anybody = Credentials::none().of_connection(&nothing, Some(&shown)).unwrap();
    assert!(anybody.is_none());
}

#[test]
fn a_file_that_others_may_read_is_refused_with_the_command_that_mends_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = written(directory.path(), 0o640, &text());
    let refused = Credentials::open(&path).unwrap_err().to_string();
    assert!(refused.contains("chmod 600") && refused.contains("640"), "{refused}");
}

#[test]
fn a_file_that_is_malformed_leaves_the_old_table_in_force() {
    let directory = tempfile::tempdir().unwrap();
    let credentials = Credentials::open(&written(directory.path(), 0o600, &text())).unwrap();
    let token = with_token(&format!("Bearer AKWRITER:{SECRET}"));
    written(directory.path(), 0o600, "[[credential]]\nname = 'writer'\n");
    assert!(credentials.reload().is_err());
    assert!(of_token(&credentials, &token).is_ok());
    written(directory.path(), 0o600, &text().replace("AKWRITER", "AKOTHER"));
    assert_eq!(credentials.reload().unwrap(), 1);
    assert!(of_token(&credentials, &token).is_err());
}

#[test]
fn mistakes_are_named_and_no_value_is_shown() {
    for (from, to, named) in [
        ("name = 'writer'", "", "name is missing"),
        ("name = 'writer'", "name = 7", "name is no text"),
        ("name = 'writer'", "name = 'a b'", "name has"),
        ("access_key = 'AKWRITER'", "access_key = 'A/B'", "access_key has"),
        (SECRET, "short", "secret has 16 to 128"),
        ("secret", "passwort", "unknown key `passwort`"),
        ("'2012-10-17'", "'2011'", "Version"),
        ("Effect = 'Allow'", "Effect = 'Allow', Condition = {}", "Condition"),
        ("policies = [", "policies = [[], ", "policy 1"),
        ("[[credential]]", "[[credentials]]", "unknown key `credentials`"),
        ("name = 'writer'", "name = ", "line 2 is not TOML"),
        ("access_key = 'AKWRITER'", "", "access_key is missing"),
        ("secret = ", "certificates = []\n# ", "secret is missing"),
        ("policies = [", "certificates = ['AB:CD']\npolicies = [", "certificate 1 is no SHA-256"),
    ] {
        let refused = file::parse(&text().replace(from, to)).unwrap_err();
        assert!(refused.contains(named), "{to}: {refused}");
        assert!(!refused.contains(SECRET), "{refused}");
    }
    let twice = format!("{}{}", text(), text());
    assert!(file::parse(&twice).unwrap_err().contains("access_key of another one"));
    assert!(file::parse("").unwrap_err().contains("no [[credential]]"));
}

#[test]
fn nothing_of_a_secret_is_shown() {
    let parsed = file::parse(&text()).unwrap();
    let shown = format!("{parsed:?}");
    assert!(shown.contains("writer") && !shown.contains(SECRET), "{shown}");
}
