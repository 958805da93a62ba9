//! The client as a store, with a good server at the other end.

use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use venti_proto::address::Address;
use venti_proto::client::{Client, ClientOptions};
use venti_proto::{
    BlockStore as _, BlockType, MemoryStore, Score, StoreError, Version, conformance,
};

use crate::support::{blocks, good, one_block, request, serve};

#[test]
fn a_client_conforms_in_every_version() {
    for version in Version::ALL {
        let options = ClientOptions { versions: vec![version], ..ClientOptions::default() };
        let (client, _) = good(&options);
        assert_eq!(client.version(), version);
        assert_eq!(conformance::check(&client, 1), Ok(()), "version {version}");
    }
}

#[test]
fn a_client_with_several_connections_conforms() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let store = Arc::new(MemoryStore::new());
    let served = Arc::clone(&store);
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let served = Arc::clone(&served);
            thread::spawn(move || serve(stream, &*served));
        }
    });
    let address = Address::Tcp { host: "127.0.0.1".to_owned(), port };
    let client = Client::connect_many(&address, 3).unwrap();
    assert_eq!(conformance::check(&client, 1), Ok(()));
    client.ping().unwrap();
    assert!(store.len() > 500);
}

#[test]
fn many_large_blocks_are_written_and_read_through_the_window() {
    let (client, store) = good(&ClientOptions::default());
    let data: Vec<Vec<u8>> = (0..400_u32).map(|n| n.to_be_bytes().repeat(57344 / 4)).collect();
    client.write(&blocks(data.iter().map(|d| (BlockType::DATA, &d[..])))).unwrap();
    client.sync().unwrap();
    assert_eq!(store.len(), 400);
    let requests: Vec<_> = data.iter().map(|data| request(data)).collect();
    let mut right = 0;
    client.read(&requests, &mut |position, found| {
        right += u32::from(found == Ok(&data[position][..]));
    });
    assert_eq!(right, 400);
}

#[test]
fn the_block_of_no_bytes_is_not_asked_for() {
    let (client, store) = good(&ClientOptions::default());
    client.write(&one_block(BlockType::DATA, b"")).unwrap();
    client.sync().unwrap();
    assert!(store.is_empty());
    assert_eq!(client.read_block(Score::ZERO, BlockType::ROOT), Ok(Vec::new()));
}

#[test]
fn errors_of_the_server_are_understood() {
    let (client, store) = good(&ClientOptions::default());
    let wanted = request(b"lost");
    client.write(&one_block(BlockType::DATA, b"lost")).unwrap();
    client.sync().unwrap();
    assert!(store.forget(&wanted));
    let (score, block_type) = (wanted.score, wanted.block_type);
    let missing = StoreError::NotFound { score, block_type };
    assert_eq!(client.read_block(score, block_type), Err(missing));
}

#[test]
fn a_caller_may_write_while_it_is_being_read_to() {
    let (client, store) = good(&ClientOptions::default());
    let data: Vec<_> = (0..600_u32).map(|n| n.to_be_bytes()).collect();
    client.write(&blocks(data.iter().map(|d| (BlockType::DATA, &d[..])))).unwrap();
    let requests: Vec<_> = data.iter().map(|data| request(data)).collect();
    client.read(&requests, &mut |_, found| {
        let copy = found.unwrap().repeat(2);
        client.write(&one_block(BlockType::DATA, &copy)).unwrap();
    });
    client.sync().unwrap();
    assert_eq!(store.len(), 1200);
}
