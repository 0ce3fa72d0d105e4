//! A wheel's METADATA without the wheel: beside it, or read from its end.

use std::io::{self, Cursor, Read, Seek, SeekFrom};

use zip::ZipArchive;

use crate::fetch::address::Address;
use crate::fetch::http::{Client, Failure, content_range};
use crate::fetch::index::Link;
use crate::fetch::{Error, Result};

/// The longest METADATA, and the longest wheel that is read whole where ranges are not known.
const MOST_TEXT: u64 = 16 << 20;
const MOST_WHEEL: u64 = 512 << 20;

/// What is asked for at once.
const BLOCK: u64 = 1 << 16;

/// How large the file at `address` is.
pub(crate) fn size(client: &Client, address: &Address) -> Result<u64> {
    let (size, _) = probe(client, address).map_err(|failure| failure.at(address))?;
    size.ok_or_else(|| Error::Index {
        url: address.to_string(),
        problem: "neither the index nor the server says how large the file is".to_owned(),
    })
}

/// The size, and whether ranges are known. One byte is asked for: some servers refuse HEAD.
fn probe(client: &Client, address: &Address) -> Result<(Option<u64>, bool), Failure> {
    client.patiently(|client| {
        let response = client.ask(address, "*/*", Some((0, Some(1))))?;
        Ok(match response.status().as_u16() {
            206 => (content_range(&response).map(|(_, size)| size), true),
            _ => (response.body().content_length(), false),
        })
    })
}

/// The METADATA of the wheel that `link` points to.
pub(crate) fn metadata(client: &Client, link: &Link) -> Result<String> {
    if link.metadata {
        let beside = link.address.with_suffix(".metadata");
        // Some mirrors copy the promise from PyPI and not the file.
        if let Ok((_, bytes)) = client.read(&beside, "*/*", MOST_TEXT) {
            return Ok(String::from_utf8_lossy(&bytes).into_owned());
        }
    }
    let at = |failure: Failure| failure.at(&link.address);
    let text = match probe(client, &link.address).map_err(at)? {
        (Some(size), true) => in_wheel(Remote::new(client, &link.address, size)),
        _ => in_wheel(Cursor::new(client.read(&link.address, "*/*", MOST_WHEEL).map_err(at)?.1)),
    };
    text.map_err(|problem| Error::Index {
        url: link.address.to_string(),
        problem: format!("no METADATA can be read from it ({problem})"),
    })
}

fn in_wheel(wheel: impl Read + Seek) -> Result<String, String> {
    let mut archive = ZipArchive::new(wheel).map_err(|error| error.to_string())?;
    let name = archive.file_names().flatten().find(|name| is_metadata(name));
    let name = name.ok_or("there is none")?.into_owned();
    let entry = archive.by_name(&name).map_err(|error| error.to_string())?;
    let mut text = String::new();
    let read = entry.take(MOST_TEXT).read_to_string(&mut text);
    read.map(|_| text).map_err(|error| error.to_string())
}

fn is_metadata(name: &str) -> bool {
    name.strip_suffix(".dist-info/METADATA").is_some_and(|folder| !folder.contains('/'))
}

/// A file on a server, of which only the blocks that are read are fetched.
struct Remote<'a> {
    client: &'a Client,
    address: &'a Address,
    size: u64,
    position: u64,
    start: u64,
    block: Vec<u8>,
}

impl<'a> Remote<'a> {
    fn new(client: &'a Client, address: &'a Address, size: u64) -> Self {
        Self { client, address, size, position: 0, start: 0, block: Vec::new() }
    }

    fn fetch(&self, start: u64) -> Result<Vec<u8>, Failure> {
        let end = (start + BLOCK).min(self.size);
        self.client.patiently(|client| {
            let response = client.ask(self.address, "*/*", Some((start, Some(end))))?;
            if content_range(&response) != Some((start, self.size)) {
                return Err(Failure::passing("the server sends other bytes than were asked for"));
            }
            let mut bytes = Vec::new();
            let mut body = response.into_body().into_reader().take(end - start);
            body.read_to_end(&mut bytes).map_err(Failure::passing)?;
            match bytes.len() as u64 == end - start {
                true => Ok(bytes),
                false => Err(Failure::passing("the answer broke off")),
            }
        })
    }
}

impl Read for Remote<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.size {
            return Ok(0);
        }
        let start = self.position - self.position % BLOCK;
        if self.block.is_empty() || self.start != start {
            self.block = self.fetch(start).map_err(|failure| io::Error::other(failure.problem))?;
            self.start = start;
        }
        let rest = &self.block[(self.position - start) as usize..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Remote<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.size.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        let before = || io::Error::new(io::ErrorKind::InvalidInput, "seek before the start");
        self.position = target.ok_or_else(before)?;
        Ok(self.position)
    }
}
