//! What strangers send to the controller's port.

use std::sync::Arc;

use storage::fake::FakeDisk;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use types::Uuid;

use super::*;
use crate::quorum::Part;
use crate::quorum::tests::{Quorum, start_on};

async fn founded() -> Quorum {
    let quorum = start_on(Arc::new(FakeDisk::new(7)), "/data".as_ref()).await;
    quorum.found().await;
    quorum
}

async fn connect(quorum: &Quorum) -> TcpStream {
    let Part::Controller(_, address) = &quorum.quorum.part else { panic!("it is a controller") };
    TcpStream::connect((address.host.as_str(), address.port)).await.unwrap()
}

fn hello(quorum: &Quorum) -> Hello {
    Hello {
        magic: MAGIC,
        version: VERSION,
        purpose: Purpose::Client,
        cluster_id: quorum.quorum.data_dir.cluster_id(),
        node: 9,
        directory: Uuid::from_random([9; 16]),
        target: 0,
        target_directory: None,
    }
}

async fn welcome(quorum: &Quorum, hello: &Hello) -> (TcpStream, Welcome) {
    let mut stream = connect(quorum).await;
    write_frame(&mut stream, &to_bytes(hello)).await.unwrap();
    let answer = FrameReader::new(FRAME_BYTES_MAX).next(&mut stream).await.unwrap().unwrap();
    (stream, from_bytes(answer).unwrap())
}

/// Reads until the other side has hung up.
async fn is_closed(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await;
    read.expect("it hangs up").ok();
}

#[tokio::test]
async fn strangers_are_hung_up_on() {
    let quorum = founded().await;
    let mut long = hello(&quorum);
    long.cluster_id = Some("x".repeat(2000));
    let mut other = hello(&quorum);
    other.magic = 7;
    let inputs = [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0xff; 64],
        i32::MAX.to_be_bytes().to_vec(),
        vec![0, 0, 0, 3, 1, 2, 3],
        framed(&to_bytes(&long)),
        framed(&to_bytes(&other)),
    ];
    for input in inputs {
        let mut stream = connect(&quorum).await;
        stream.write_all(&input).await.unwrap();
        is_closed(&mut stream).await;
    }
    // One that says nothing is not waited for.
    is_closed(&mut connect(&quorum).await).await;
    assert!(quorum.quorum.status().is_leader);
    quorum.abandon().await;
}

fn framed(message: &[u8]) -> Vec<u8> {
    let mut frame = i32::try_from(message.len()).unwrap().to_be_bytes().to_vec();
    frame.extend_from_slice(message);
    frame
}

#[tokio::test]
async fn nodes_that_are_wrong_here_are_told_why() {
    let quorum = founded().await;
    let right = hello(&quorum);
    let (_, accepted) = welcome(&quorum, &right).await;
    assert!(matches!(accepted, Welcome::Accepted { .. }), "{accepted:?}");
    let wrong = [
        (Hello { version: 9, ..right.clone() }, "speaks version 1"),
        (Hello { target: 4, ..right.clone() }, "this address is that of node 0, not of node 4"),
        (Hello { target_directory: Some(Uuid::from_random([1; 16])), ..right.clone() }, "replaced or wiped"),
        (Hello { cluster_id: Some("another".to_owned()), ..right.clone() }, "not to another"),
        (Hello { cluster_id: None, purpose: Purpose::Raft, ..right }, "belongs to no cluster"),
    ];
    for (hello, reason) in wrong {
        match welcome(&quorum, &hello).await {
            (mut stream, Welcome::Refused(refusal)) => {
                assert!(refusal.to_string().contains(reason), "{refusal}");
                is_closed(&mut stream).await;
            }
            (_, accepted) => panic!("{hello:?}: {accepted:?}"),
        }
    }
    quorum.abandon().await;
}

#[tokio::test]
async fn who_reads_may_not_vote() {
    let quorum = founded().await;
    let (mut stream, _) = welcome(&quorum, &hello(&quorum)).await;
    let chunk = Request::Snapshot {
        vote: crate::quorum::raft::Vote::new(1, quorum.voter()),
        head: bytes::Bytes::new(),
        total: 0,
        at: 0,
        chunk: bytes::Bytes::new(),
    };
    write_frame(&mut stream, &numbered(5, &to_bytes(&chunk))).await.unwrap();
    let mut reader = FrameReader::new(FRAME_BYTES_MAX);
    let frame = reader.next(&mut stream).await.unwrap().unwrap();
    let (number, reply) = unnumbered(&frame).unwrap();
    assert_eq!(number, 5);
    let reply: crate::quorum::message::Reply = from_bytes(reply).unwrap();
    assert!(matches!(reply, crate::quorum::message::Reply::Failed { .. }), "{reply:?}");
    // What is no request ends the connection.
    write_frame(&mut stream, &[0, 0, 0, 6, 99]).await.unwrap();
    is_closed(&mut stream).await;
    quorum.abandon().await;
}
