//! `logo-ssl serve` says where it is, answers there, and ends when it is told to.

#![cfg(unix)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use predicates::prelude::*;
use predicates::str::contains;
use support::command;

#[test]
fn it_prints_its_address_answers_and_ends_by_a_signal() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Command::new(assert_cmd::cargo::cargo_bin!("logo-ssl"))
        .args(["serve", "--json", "--port", "0"])
        .arg(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let said: serde_json::Value = serde_json::from_str(&line).unwrap();
    let url = said["url"].as_str().unwrap();
    let address = url.strip_prefix("http://").unwrap().trim_end_matches('/');
    assert!(address.starts_with("127.0.0.1:"), "{url}");

    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 200 OK") && reply.contains("<!doctype html>"), "{reply}");

    let sent = Command::new("kill").args(["-INT", &server.id().to_string()]).status();
    assert!(sent.unwrap().success());
    assert!(server.wait().unwrap().success());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was written");
}

#[test]
fn a_folder_or_an_address_that_is_not_there_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    command()
        .arg("serve")
        .arg(&missing)
        .assert()
        .code(2)
        .stderr(contains("missing: cannot be read").and(contains("give the folder")));
    command()
        .args(["serve", "--host", "192.0.2.1"])
        .arg(folder.path())
        .assert()
        .code(2)
        .stderr(contains("cannot listen on 192.0.2.1, from port 8321 on"));
}
