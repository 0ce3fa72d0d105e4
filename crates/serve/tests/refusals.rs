//! What the server refuses, by bytes as they may come over the wire.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::time::Duration;

use support::{Running, run};

const SECRET: &str = "a secret beside the folder";

/// A folder of runs with a secret beside it, served.
fn served() -> (tempfile::TempDir, Running) {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("runs");
    run(&folder.join("one"), 2, &[]);
    fs::write(outer.path().join("secret.txt"), SECRET).unwrap();
    let server = Running::of(&folder);
    server.runs();
    (outer, server)
}

#[test]
fn no_address_leads_out_of_the_folder() {
    let (_outer, server) = served();
    let targets = [
        "/../secret.txt",
        "/runs/../../secret.txt",
        "/runs/one/../../secret.txt",
        "/runs/one/../../../../../../etc/passwd",
        "/runs/..%2fsecret.txt/preview.png",
        "/runs/..%2f..%2fsecret.txt",
        "/runs/%2e%2e/secret.txt",
        "/runs/%2e%2e%2fsecret.txt/report.html",
        "/runs/%252e%252e%252fsecret.txt/report.html",
        "/runs/..%5csecret.txt/report.html",
        "/runs/..\\secret.txt/report.html",
        "/runs/one%00/report.html",
        "/runs/one/report.html%00.png",
        "/runs/one/config.toml",
        "/runs/one/metrics.jsonl",
        "/runs//etc/passwd",
        "/runs/%2fetc%2fpasswd/report.html",
        "/runs/%ff/report.html",
        "/assets/../../secret.txt",
        "/assets/..%2f..%2fCargo.toml",
        "/assets/",
        "//etc/passwd",
        "/api/runs/..%2f..%2fsecret.txt",
        "/api/runs/%2e%2e",
        "/api/runs/one/..",
        "/api/runs/",
        "/api",
        "/index.html",
    ];
    for target in targets {
        let reply = server.get(target);
        assert!([400, 404].contains(&reply.status), "{target}: {}", reply.head);
        assert!(!reply.text().contains(SECRET) && !reply.text().contains("root:"), "{target}");
    }
    assert_eq!(server.get("/api/runs/one").status, 200);
}

#[test]
fn what_is_no_request_is_refused() {
    let (_outer, server) = served();
    let host = server.address;
    let malformed: [&[u8]; 12] = [
        b"\r\n\r\n",
        b"hello\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET  /  HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nA\0B: c\r\n\r\n",
        b"GET /\0 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    ];
    for bytes in malformed {
        let mut stream = server.connect();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut reply = Vec::new();
        let _ = stream.read_to_end(&mut reply);
        let head = String::from_utf8_lossy(&reply);
        let refused = reply.is_empty()
            || head.contains(" 400 ")
            || head.contains(" 431 ")
            || head.contains(" 505 ");
        assert!(refused, "{:?}: {head}", String::from_utf8_lossy(bytes));
    }
    let twice =
        format!("GET / HTTP/1.1\r\nHost: {host}\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    assert_eq!(server.raw(twice.as_bytes()).status, 400);
    assert_eq!(server.raw(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n").status, 400);
    let proxied =
        format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    assert_eq!(server.raw(proxied.as_bytes()).status, 400);
    assert_eq!(server.get("/").status, 200, "the server lives");
}

#[test]
fn what_is_too_large_is_refused() {
    let (_outer, server) = served();
    let long = "x".repeat(1 << 20);
    let line = server.get(&format!("/{long}"));
    assert!([400, 414, 431].contains(&line.status), "{}", line.head);
    let header = server.request("GET", "/", &format!("X: {long}\r\n"));
    assert_eq!(header.status, 431, "{}", header.head);
    let many: String = (0..5_000).map(|i| format!("X-{i}: y\r\n")).collect();
    assert_eq!(server.request("GET", "/", &many).status, 431);

    let body = server.request("GET", "/", &format!("Content-Length: {}\r\n", 1_u64 << 40));
    assert_eq!(body.status, 413, "{}", body.head);
    let chunked = server.request("GET", "/", "Transfer-Encoding: chunked\r\n");
    assert_eq!(chunked.status, 413, "{}", chunked.head);
    assert_eq!(server.get("/").status, 200, "the server lives");
}

#[test]
fn only_what_reads_is_answered() {
    let (_outer, server) = served();
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW"] {
        let target = if method == "CONNECT" { "localhost:80" } else { "/api/runs" };
        let reply = server.request(method, target, "");
        assert!([400, 405].contains(&reply.status), "{method}: {}", reply.head);
        if reply.status == 405 {
            assert_eq!(reply.header("allow"), Some("get, head"), "{method}");
        }
    }
    let post = server.request("POST", "/api/runs", "Content-Length: 3\r\n\r\nabc");
    assert_eq!(post.status, 405, "{}", post.head);
    let head = server.request("HEAD", "/api/runs", "");
    assert_eq!((head.status, head.body.len()), (200, 0), "{}", head.head);
    assert_ne!(head.header("content-length"), Some("0"));
}

#[test]
fn a_name_of_elsewhere_is_refused() {
    let (_outer, server) = served();
    let port = server.address.port();
    let status = |host: &str| {
        let head = format!("GET /api/runs HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        server.raw(head.as_bytes()).status
    };
    for host in [
        "evil.example",
        "evil.example:8321",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "10.0.0.1",
        "",
        "[::2]",
    ] {
        assert_eq!(status(&format!("{host}:{port}")), 403, "{host}");
    }
    for host in ["localhost", "LOCALHOST", "127.0.0.1", "127.0.0.2", "[::1]"] {
        assert_eq!(status(&format!("{host}:{port}")), 200, "{host}");
        assert_eq!(status(host), 200, "{host} at another port, as behind a tunnel");
    }
}

#[test]
fn every_answer_says_what_the_page_may_do() {
    let (outer, server) = served();
    fs::write(outer.path().join("runs/one/report.html"), "<script>1</script>").unwrap();
    for target in ["/", "/assets/app.js", "/api/runs", "/nothing", "/runs/one/report.html"] {
        let reply = server.get(target);
        let policy = reply.header("content-security-policy").unwrap();
        assert!(policy.contains("frame-ancestors 'none'"), "{target}: {policy}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{target}");
        assert_eq!(reply.header("referrer-policy"), Some("no-referrer"), "{target}");
        assert_eq!(reply.header("cross-origin-resource-policy"), Some("same-origin"), "{target}");
        assert!(reply.header("access-control-allow-origin").is_none(), "{target}");
    }
    let page = server.get("/");
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'self';") && !policy.contains("script"), "{policy}");
    let report = server.get("/runs/one/report.html");
    let policy = report.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    assert!(policy.contains("sandbox allow-scripts") && !policy.contains("connect"), "{policy}");
}

#[test]
fn two_hundred_idle_connections_keep_nobody_out_and_are_closed() {
    let outer = tempfile::tempdir().unwrap();
    run(&outer.path().join("one"), 1, &[]);
    let server = Running::with_idle(outer.path(), Duration::from_secs(2));
    let mut silent: Vec<_> = (0..150).map(|_| server.connect()).collect();
    let slow = (0..50).map(|_| {
        let mut stream = server.connect();
        stream.write_all(b"GET / HTTP/1.1\r\nHos").unwrap();
        stream
    });
    silent.extend(slow);
    assert_eq!(server.get("/").status, 200, "others are served meanwhile");
    server.runs();
    for (number, mut stream) in silent.into_iter().enumerate() {
        let mut rest = Vec::new();
        // It ends by itself, with a word or without; a reset is an end too, the patience running out is none.
        if let Err(error) = stream.read_to_end(&mut rest) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "connection {number}");
        }
    }
    assert_eq!(server.get("/").status, 200);
}

#[cfg(unix)]
#[test]
fn a_link_out_of_the_folder_is_never_followed() {
    use std::os::unix::fs::symlink;
    let outer = tempfile::tempdir().unwrap();
    let (folder, elsewhere) = (outer.path().join("runs"), outer.path().join("elsewhere"));
    run(&folder.join("own"), 1, &[]);
    run(&folder.join("sly"), 1, &[]);
    run(&elsewhere, 1, &[]);
    fs::write(outer.path().join("secret.txt"), SECRET).unwrap();
    symlink(&elsewhere, folder.join("linked")).unwrap();
    symlink("../../secret.txt", folder.join("sly/report.html")).unwrap();
    symlink(outer.path().join("secret.txt"), folder.join("sly/preview.png")).unwrap();
    fs::remove_file(folder.join("sly/metrics.jsonl")).unwrap();
    symlink(elsewhere.join("metrics.jsonl"), folder.join("sly/metrics.jsonl")).unwrap();
    symlink("../own/timings.jsonl", folder.join("own/report.html")).unwrap();
    let server = Running::of(&folder);

    let answer = server.runs();
    let runs = answer["runs"].as_array().unwrap();
    let names: Vec<_> = runs.iter().map(|run| run["id"].as_str().unwrap()).collect();
    assert_eq!(names, ["own", "sly"]);
    assert_eq!(answer["refused"][0]["path"], "linked");
    assert!(answer["refused"][0]["why"].as_str().unwrap().contains("leads out of the folder"));
    assert_eq!(server.get("/api/runs/linked").status, 404);

    assert_eq!(
        (&runs[1]["step"], &runs[1]["report"], &runs[1]["preview"]),
        (&0.into(), &false.into(), &false.into())
    );
    assert!(
        runs[1]["problem"].as_str().unwrap().starts_with("metrics.jsonl cannot be read"),
        "{}",
        runs[1]
    );
    for target in ["/runs/sly/report.html", "/runs/sly/preview.png"] {
        let reply = server.get(target);
        assert_eq!(reply.status, 404, "{target}");
        assert!(!reply.text().contains(SECRET));
    }
    assert_eq!(
        server.get("/runs/own/report.html").status,
        200,
        "a link within the folder is followed"
    );

    // What was a run of the folder's own when it was found may become a link later.
    fs::rename(folder.join("own"), outer.path().join("moved")).unwrap();
    symlink(outer.path().join("moved"), folder.join("own")).unwrap();
    assert_eq!(server.get("/runs/own/report.html").status, 404);
}
