//! Credentials and TLS as an operator sets them up, and the command line that signs in.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::process::{Finished, Server, program, run};

const SECRET: &str = "0123456789abcdefROOT";

/// A certificate made by its holder, its key, and the fingerprint as `openssl` shows it.
fn certificate(directory: &Path, name: &str) -> (PathBuf, PathBuf, String) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let (certificate, key) =
        (directory.join(format!("{name}.crt")), directory.join(format!("{name}.key")));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let fingerprint = anabranch_server::fingerprint::Fingerprint::of(made.cert.der());
    (certificate, key, fingerprint.to_string())
}

/// A server that knows `root` by a key, and `reader`, who may list streams, by a certificate.
fn server(reader: &str) -> (TempDir, Server) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("credentials.toml");
    let text = format!(
        "[[credential]]\nname = 'root'\naccess_key = 'AKROOT'\nsecret = '{SECRET}'\npolicies = \
         [{{ Version = '2012-10-17', Statement = {{ Effect = 'Allow', Action = '*', Resource = '*' \
         }} }}]\n[[credential]]\nname = 'reader'\ncertificates = ['{reader}']\npolicies = [{{ Version \
         = '2012-10-17', Statement = {{ Effect = 'Allow', Action = 'kinesis:ListStreams', Resource \
         = '*' }} }}]\n"
    );
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let arguments = ["--tls-auto", "--credentials", file.to_str().unwrap()];
    let server = Server::start_with(program(), &directory.path().join("data"), &arguments);
    (directory, server)
}

/// A command that trusts the server's certificate.
fn command(directory: &Path, server: &Server, arguments: &[&str]) -> std::process::Command {
    let mut command = program();
    command
        .args(["--server", &format!("https://{}", server.address())])
        .arg("--tls-ca")
        .arg(directory.join("data/tls-auto.crt"))
        .args(arguments);
    command
}

fn as_holder(
    directory: &Path,
    server: &Server,
    of: &(PathBuf, PathBuf),
    words: &[&str],
) -> Finished {
    let mut command = command(directory, server, words);
    command.arg("--tls-client-cert").arg(&of.0).arg("--tls-client-key").arg(&of.1);
    run(command, b"")
}

#[test]
fn a_certificate_signs_in_whom_the_server_knows_by_it() {
    let scratch = tempfile::tempdir().unwrap();
    let (certificate_file, key, fingerprint) = certificate(scratch.path(), "reader");
    let reader = (certificate_file, key);
    let (directory, server) = server(&fingerprint);
    let directory = directory.path();
    as_holder(directory, &server, &reader, &["stream", "list"]).expect(0);
    // Known, and not allowed.
    as_holder(directory, &server, &reader, &["stream", "create", "orders"])
        .expect(1)
        .says(&["user/reader", "kinesis:CreateStream"]);
    // Somebody else's certificate, and none.
    let (certificate_file, key, _) = certificate(scratch.path(), "stranger");
    as_holder(directory, &server, &(certificate_file, key.clone()), &["stream", "list"])
        .expect(1)
        .says(&["security token", "--tls-client-cert"]);
    run(command(directory, &server, &["stream", "list"]), b"")
        .expect(1)
        .says(&["Missing Authentication Token", "ANABRANCH_ACCESS_KEY"]);
    // The reader's certificate is of no use without its key.
    as_holder(directory, &server, &(reader.0.clone(), key), &["stream", "list"])
        .expect(2)
        .says(&["key"]);
    // An access key goes before a certificate.
    let mut create = command(directory, &server, &["stream", "create", "orders"]);
    create.env("ANABRANCH_ACCESS_KEY", "AKROOT").env("ANABRANCH_SECRET_KEY", SECRET);
    create.arg("--tls-client-cert").arg(&reader.0).arg("--tls-client-key").arg(&reader.1);
    run(create, b"").expect(0);
}
