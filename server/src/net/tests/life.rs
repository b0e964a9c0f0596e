//! From a port's opening to its end.

use super::*;

#[tokio::test]
async fn a_port_in_use_is_refused_with_the_flag_that_changes_it() {
    let taken = port();
    let refused = Port::bind(taken.address(), "--listen").unwrap_err();
    let text = refused.to_string();
    assert!(text.contains(&taken.address().to_string()), "{text}");
    assert!(text.contains("in use") && text.contains("--listen"), "{text}");
}

#[tokio::test]
async fn requests_are_answered_until_the_port_is_closed() {
    let open = greeter();
    let mut client = connect(&open).await;
    client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let reply = read_to_end(&mut client).await;
    assert!(reply.starts_with("HTTP/1.1 200") && reply.ends_with("hello"), "{reply}");
    drop(client);
    let address = open.address();
    assert_eq!(open.close(Duration::from_secs(4)).await, 0);
    assert!(TcpStream::connect(address).await.is_err());
}

/// A request that never ends does not hold up the end of the process.
#[tokio::test]
async fn a_connection_that_does_not_finish_is_dropped_after_the_patience() {
    let (started, mut starts) = tokio::sync::mpsc::channel(1);
    let endless = service_fn(move |_: Request<Incoming>| {
        let started = started.clone();
        async move {
            started.send(()).await.expect("the test waits for it");
            std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>().await
        }
    });
    let open = port().open(endless);
    let mut client = connect(&open).await;
    client.write_all(GET).await.unwrap();
    starts.recv().await.unwrap();
    assert_eq!(open.close(Duration::from_millis(10)).await, 1);
}

/// The SDKs keep connections for up to a minute, and go on with one of them.
#[tokio::test(start_paused = true)]
async fn a_connection_may_be_idle_for_a_minute_and_not_for_ever() {
    let open = greeter();
    let mut client = connect(&open).await;
    for _ in 0..3 {
        client.write_all(GET).await.unwrap();
        read_hello(&mut client).await;
        tokio::time::sleep(Duration::from_secs(65)).await;
    }
    client.write_all(GET).await.unwrap();
    read_hello(&mut client).await;
    let began = Instant::now();
    assert_eq!(read_to_end(&mut client).await, "");
    assert_eq!(began.elapsed().as_secs(), 75);
}
