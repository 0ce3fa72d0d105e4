//! How long it takes to list a folder of very many pictures, and how much memory.
//!
//! `cargo run --release -p logo-ssl-data --example listing -- 1000000 1000 /dev/shm` makes 1,000,000 empty
//! files in 1,000 folders of classes below the folder named, lists them, takes their fingerprint, and
//! removes them. With 1 folder all lie in one.

use std::error::Error;
use std::fs::{self, File};
use std::path::Path;
use std::time::Instant;

use logo_ssl_data::folder::Folder;
use logo_ssl_data::{Dataset, Fingerprint};
use rayon::prelude::*;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: usize| arguments.next().map_or(Ok(default), |given| given.parse());
    let (files, classes) = (number(1_000_000)?, number(1000)?);
    let place = arguments.next().map_or_else(std::env::temp_dir, Into::into);
    let dir = tempfile::Builder::new().prefix("listing").tempdir_in(place)?;
    make(dir.path(), files, classes)?;
    let before = peak_memory();
    let started = Instant::now();
    let [train, test] = Folder::load(dir.path())?;
    let listed = started.elapsed();
    let images = [train.as_ref(), test.as_ref()].map(|part| part.map_or(0, Folder::len));
    println!(
        "{} + {} images in {classes} folders listed in {:.2} s",
        images[0],
        images[1],
        listed.as_secs_f64()
    );
    if let (Some(before), Some(after)) = (before, peak_memory()) {
        println!("peak of memory {after} MB, before the listing {before} MB");
    }
    let started = Instant::now();
    let print = train.as_ref().map(|train| Fingerprint::of(train));
    println!("fingerprint in {:.2} s: {print:?}", started.elapsed().as_secs_f64());
    Ok(())
}

/// Makes so many empty files, evenly in so many folders.
fn make(dir: &Path, files: usize, classes: usize) -> std::io::Result<()> {
    (0..classes).into_par_iter().try_for_each(|class| {
        let folder = dir.join(format!("n{class:08}"));
        fs::create_dir(&folder)?;
        let of_class = (class..files).step_by(classes);
        of_class.into_iter().try_for_each(|file| {
            File::create(folder.join(format!("n{class:08}_{file:08}.JPEG"))).map(drop)
        })
    })
}

/// The most memory that this process has held, in MB, where the system tells.
fn peak_memory() -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes / 1024)
}
