//! Plans and downloads against an index on this machine.

mod common;

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use common::{
    CPU_PACKAGE, CPU_PLUGIN, CPU_WHEEL, Form, Listed, Mood, Server, cpu_wheel, noise, request,
    wheel,
};
use logo_ssl_plugins::{
    Error, Event, Index, Installed, Kind, Patience, Plan, Request, execute, plan,
};

/// A server with the CPU plugin, what is to be fetched, and where to.
struct World {
    server: Server,
    request: Request,
    folder: tempfile::TempDir,
}

impl World {
    fn new(form: Form, bytes: Vec<u8>) -> Self {
        let server = Server::start();
        server.package(form, CPU_PACKAGE, &[Listed::new(CPU_WHEEL, bytes)]);
        let folder = tempfile::tempdir().unwrap();
        let request = request(Kind::Cpu, server.index(), folder.path());
        Self { server, request, folder }
    }

    fn fetch(&self) -> Result<Installed, Error> {
        fetch(&plan(&self.request).unwrap())
    }

    /// What lies in the kind's folder, but for the lock.
    fn left(&self) -> Vec<String> {
        names(&self.folder.path().join("cpu"))
    }

    fn part(&self) -> std::path::PathBuf {
        self.folder.path().join("cpu/.download").join(format!("{CPU_WHEEL}.part"))
    }
}

fn fetch(plan: &Plan) -> Result<Installed, Error> {
    execute(plan, &mut |_| {})
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name != ".lock");
    names.sort();
    names
}

fn wheel_path() -> String {
    format!("/files/{CPU_WHEEL}")
}

#[test]
fn a_plugin_is_planned_and_fetched_whole_from_either_form_of_index() {
    for form in [Form::Html, Form::Json] {
        let bytes = cpu_wheel(&noise(300_000));
        let world = World::new(form, bytes.clone());
        let plan = plan(&world.request).unwrap();
        assert_eq!((plan.version.as_str(), plan.total_bytes), ("0.11.2", bytes.len() as u64));
        assert_eq!(plan.wheels[0].sha256, common::sha256(&bytes));
        assert!(plan.installed().is_none());

        let (mut furthest, mut unpacked) = (0, 0);
        let installed = execute(&plan, &mut |event| match event {
            Event::Receiving { done_in_all, .. } => furthest = done_in_all,
            Event::Unpacking { .. } => unpacked += 1,
            Event::Waiting { .. } => panic!("nothing fails"),
        })
        .unwrap();
        assert_eq!((furthest, unpacked), (plan.total_bytes, 1));
        assert_eq!(installed.path(), world.folder.path().join("cpu/0.11.2").join(CPU_PLUGIN));
        assert_eq!(fs::read(installed.path()).unwrap(), noise(300_000));
        assert!(!installed.folder.join("lammps_jax_pjrt_cpu/__init__.py").exists());
        assert!(installed.folder.join("lammps_jax_pjrt_cpu-0.11.2.dist-info/METADATA").exists());
        let record = fs::read_to_string(installed.folder.join("installed.json")).unwrap();
        assert!(record.contains(&plan.wheels[0].sha256) && record.contains("\"cpu\""), "{record}");
        assert_eq!(world.left(), ["0.11.2"], "neither downloads nor temporary folders are left");

        let asked = world.server.seen().len();
        assert_eq!(fetch(&plan).unwrap(), installed);
        assert_eq!(world.server.seen().len(), asked, "what is there is not fetched again");
    }
}

#[test]
fn a_connection_that_is_cut_goes_on_by_itself() {
    let world = World::new(Form::Json, cpu_wheel(&noise(300_000)));
    world
        .server
        .moods(&wheel_path(), [Mood::BreaksOffAfter(100_000), Mood::BreaksOffAfter(50_000)]);
    let plan = plan(&world.request).unwrap();
    let mut waits = 0;
    execute(&plan, &mut |event| waits += u32::from(matches!(event, Event::Waiting { .. })))
        .unwrap();
    assert_eq!(waits, 2);
    let ranges = world.server.ranges(&wheel_path());
    assert_eq!(ranges, [None, Some("100000-".to_owned()), Some("150000-".to_owned())]);
}

#[test]
fn a_download_that_was_given_up_goes_on_in_the_next_call() {
    let world = World::new(Form::Json, cpu_wheel(&noise(300_000)));
    let mut hasty = world.request.clone();
    hasty.patience.attempts = 1;
    world.server.moods(&wheel_path(), [Mood::BreaksOffAfter(100_000)]);
    let error = fetch(&plan(&hasty).unwrap()).unwrap_err();
    assert!(matches!(error, Error::Interrupted { done: 100_000, .. }), "{error}");
    assert!(error.to_string().contains("run the same command again"), "{error}");
    assert_eq!(world.left(), [".download"]);
    world.fetch().unwrap();
    assert_eq!(world.server.ranges(&wheel_path()), [None, Some("100000-".to_owned())]);
}

#[test]
fn a_server_without_ranges_starts_over() {
    let world = World::new(Form::Json, cpu_wheel(&noise(300_000)));
    world.server.moods(&wheel_path(), [Mood::BreaksOffAfter(100_000), Mood::IgnoresRanges]);
    let installed = world.fetch().unwrap();
    assert_eq!(fs::read(installed.path()).unwrap(), noise(300_000));
}

#[test]
fn a_part_that_is_too_long_or_of_another_file_does_no_harm() {
    let bytes = cpu_wheel(&noise(300_000));
    let world = World::new(Form::Json, bytes.clone());
    let part = world.part();
    fs::create_dir_all(part.parent().unwrap()).unwrap();
    fs::write(&part, [bytes.as_slice(), b"more"].concat()).unwrap();
    world.fetch().unwrap();

    let world = World::new(Form::Json, bytes.clone());
    let part = world.part();
    fs::create_dir_all(part.parent().unwrap()).unwrap();
    fs::write(&part, b"something else").unwrap();
    assert!(matches!(world.fetch().unwrap_err(), Error::Hash { .. }));
    world.fetch().unwrap();
}

#[test]
fn a_part_that_is_whole_is_only_checked() {
    let bytes = cpu_wheel(&noise(1000));
    let world = World::new(Form::Json, bytes.clone());
    let part = world.part();
    fs::create_dir_all(part.parent().unwrap()).unwrap();
    fs::write(&part, bytes).unwrap();
    world.fetch().unwrap();
    assert!(world.server.ranges(&wheel_path()).is_empty());
}

#[test]
fn a_server_that_fails_for_a_while_is_asked_again() {
    let world = World::new(Form::Html, cpu_wheel(b"plugin"));
    world.server.moods(&format!("/simple/{CPU_PACKAGE}/"), [Mood::Refuses(503)]);
    let plan = plan(&world.request).unwrap();
    world.server.moods(&wheel_path(), [Mood::Refuses(502), Mood::Refuses(429)]);
    fetch(&plan).unwrap();
}

#[test]
fn a_server_whose_file_has_changed_is_begun_anew() {
    let world = World::new(Form::Json, cpu_wheel(&noise(300_000)));
    let plan = plan(&world.request).unwrap();
    world.server.moods(&wheel_path(), [Mood::BreaksOffAfter(100_000), Mood::Refuses(416)]);
    fetch(&plan).unwrap();
    let ranges = world.server.ranges(&wheel_path());
    assert_eq!(ranges, [None, Some("100000-".to_owned()), None]);
}

#[test]
fn a_file_that_is_gone_is_not_asked_for_again() {
    let world = World::new(Form::Json, cpu_wheel(b"plugin"));
    let plan = plan(&world.request).unwrap();
    world.server.moods(&wheel_path(), [Mood::Refuses(404)]);
    let error = fetch(&plan).unwrap_err();
    assert!(matches!(error, Error::NoAnswer { .. }), "{error}");
    assert!(error.to_string().contains("404") && error.to_string().contains(CPU_WHEEL), "{error}");
    assert_eq!(world.server.ranges(&wheel_path()).len(), 1);
}

#[test]
fn a_server_that_falls_silent_is_given_up() {
    let world = World::new(Form::Json, cpu_wheel(b"plugin"));
    world.server.always(&wheel_path(), Mood::Silent);
    let mut hasty = world.request.clone();
    hasty.patience = Patience {
        attempts: 2,
        pause: Duration::from_millis(1),
        silence: Duration::from_millis(100),
    };
    let error = fetch(&plan(&hasty).unwrap()).unwrap_err();
    assert!(matches!(error, Error::Interrupted { done: 0, .. }), "{error}");
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    // Nobody listens on a port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let index = Index::new(&format!("http://{port}/simple")).unwrap();
    let error = plan(&request(Kind::Cpu, index, folder.path())).unwrap_err().to_string();
    assert!(error.contains(&port.to_string()) && error.contains("PIP_INDEX_URL"), "{error}");
}

#[test]
fn another_hash_is_refused_and_the_file_removed() {
    let world = World::new(Form::Json, cpu_wheel(b"plugin"));
    let mut listed = Listed::new(CPU_WHEEL, cpu_wheel(b"plugin"));
    listed.sha256 = Some("0".repeat(64));
    world.server.package(Form::Html, CPU_PACKAGE, &[listed]);
    let error = world.fetch().unwrap_err();
    assert!(matches!(error, Error::Hash { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(CPU_WHEEL) && text.contains(&"0".repeat(64)), "{text}");
    assert!(!world.part().exists());
}

#[test]
fn archives_that_reach_outside_are_refused() {
    for name in [
        "../evil.so",
        "a/../../evil.so",
        "/tmp/logo-ssl-evil.so",
        "a\\..\\evil.so",
        "C:/evil.so",
        "../evil.txt",
    ] {
        let bytes = wheel(&[(CPU_PLUGIN, b"plugin"), (name, b"evil")]);
        refuse(bytes, "evil");
    }
    assert!(!Path::new("/tmp/logo-ssl-evil.so").exists());
}

#[test]
fn archives_with_links_are_refused() {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    writer.start_file(CPU_PLUGIN, options).unwrap();
    writer.add_symlink("a/evil.so", "/etc/passwd", options).unwrap();
    refuse(writer.finish().unwrap().into_inner(), "evil");
}

fn refuse(bytes: Vec<u8>, entry: &str) {
    let world = World::new(Form::Json, bytes);
    let error = world.fetch().unwrap_err();
    assert!(matches!(error, Error::Unsafe { .. }), "{error}");
    assert!(error.to_string().contains(entry), "{error}");
    assert_eq!(world.left(), [".download"], "nothing is installed");
    assert_eq!(names(world.folder.path()), ["cpu"]);
}

/// `bytes` with the size of the entry `name` declared as `size`, in both of its headers.
fn declaring(mut bytes: Vec<u8>, name: &str, size: u32) -> Vec<u8> {
    // The size lies so far before the name: 8 bytes in a local header, 22 in the central one.
    for (signature, header, before) in [(b"PK\x03\x04", 30, 8), (b"PK\x01\x02", 46, 22)] {
        let at = (0..bytes.len() - header - name.len()).find(|&at| {
            bytes[at..].starts_with(signature) && bytes[at + header..].starts_with(name.as_bytes())
        });
        let at = at.unwrap() + header - before;
        bytes[at..at + 4].copy_from_slice(&size.to_le_bytes());
    }
    bytes
}

#[test]
fn archives_that_declare_something_else_are_damaged() {
    for size in [5_u32, 7, 1_000_000] {
        let bytes = declaring(cpu_wheel(b"plugin"), CPU_PLUGIN, size);
        let world = World::new(Form::Json, bytes);
        let error = world.fetch().unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{size}: {error}");
        assert_eq!(world.left(), [".download"], "nothing is installed");
    }
    let world = World::new(Form::Json, cpu_wheel(&noise(5000))[..4000].to_vec());
    assert!(matches!(world.fetch().unwrap_err(), Error::Damaged { .. }));
}

#[test]
fn bombs_are_refused_before_anything_is_unpacked() {
    let names = ["a/1.so", "a/2.so", "a/3.so"];
    let mut bytes = wheel(&names.map(|name| (name, b"x".as_slice())));
    for name in names {
        bytes = declaring(bytes, name, u32::MAX - 1);
    }
    refuse(bytes, "a/3.so");
}

#[test]
fn a_wheel_without_its_plugin_is_not_installed() {
    let world = World::new(Form::Json, wheel(&[("other/plugin.so", b"plugin")]));
    let error = world.fetch().unwrap_err();
    assert!(matches!(error, Error::NoPlugin { .. }), "{error}");
    assert!(error.to_string().contains(CPU_PLUGIN), "{error}");
    assert_eq!(world.left(), [".download"]);
}

#[test]
fn what_a_killed_fetch_left_is_removed_and_is_no_installation() {
    let world = World::new(Form::Json, cpu_wheel(b"plugin"));
    let kind = world.folder.path().join("cpu");
    for stale in [".unpacking", ".replaced", "0.11.2"] {
        let plugin = kind.join(stale).join(CPU_PLUGIN);
        fs::create_dir_all(plugin.parent().unwrap()).unwrap();
        fs::write(plugin, b"half").unwrap();
        fs::write(kind.join(stale).join("stale.so"), b"half").unwrap();
    }
    let plan = plan(&world.request).unwrap();
    assert!(plan.installed().is_none());
    let installed = fetch(&plan).unwrap();
    assert_eq!(fs::read(installed.path()).unwrap(), b"plugin");
    assert!(!installed.folder.join("stale.so").exists());
    assert_eq!(world.left(), ["0.11.2"]);
}

#[test]
fn an_installation_of_other_wheels_is_replaced() {
    let world = World::new(Form::Json, cpu_wheel(b"old"));
    world.fetch().unwrap();
    world.server.package(Form::Json, CPU_PACKAGE, &[Listed::new(CPU_WHEEL, cpu_wheel(b"new"))]);
    let installed = world.fetch().unwrap();
    assert_eq!(fs::read(installed.path()).unwrap(), b"new");
    assert_eq!(world.left(), ["0.11.2"]);
}

#[test]
fn only_one_process_fetches_at_a_time() {
    let world = World::new(Form::Json, cpu_wheel(b"plugin"));
    let plan = plan(&world.request).unwrap();
    let kind = world.folder.path().join("cpu");
    fs::create_dir(&kind).unwrap();
    let lock = File::create(kind.join(".lock")).unwrap();
    lock.lock().unwrap();
    assert!(matches!(fetch(&plan).unwrap_err(), Error::Busy { .. }));
    drop(lock);
    fetch(&plan).unwrap();
}

#[test]
fn a_disk_that_is_too_small_is_found_before_anything_is_downloaded() {
    let world = World::new(Form::Json, cpu_wheel(b"plugin"));
    let mut listed = Listed::new(CPU_WHEEL, cpu_wheel(b"plugin"));
    listed.size = Some(1 << 60);
    world.server.package(Form::Json, CPU_PACKAGE, &[listed]);
    let error = world.fetch().unwrap_err();
    assert!(matches!(error, Error::NoSpace { .. }), "{error}");
    assert!(world.server.ranges(&wheel_path()).is_empty());
}

#[test]
fn a_login_is_sent_and_never_shown() {
    let world = World::new(Form::Html, cpu_wheel(b"plugin"));
    world.server.require_login("me:p@ss word");
    let with = |login: &str| {
        let index = Index::new(&format!("http://{login}@{}/simple/", world.server.host)).unwrap();
        request(Kind::Cpu, index, world.folder.path())
    };
    fetch(&plan(&with("me:p%40ss%20word")).unwrap()).unwrap();

    let error = plan(&with("me:secret")).unwrap_err();
    let texts = [error.to_string(), format!("{error:?}"), format!("{:?}", with("me:secret"))];
    assert!(texts[0].contains("401") && texts[0].contains("PIP_INDEX_URL"), "{}", texts[0]);
    assert!(texts.iter().all(|text| !text.contains("secret")), "{texts:?}");

    let error = Index::new("ftp://me:secret@host/simple").unwrap_err().to_string();
    assert!(error.contains("host") && !error.contains("secret"), "{error}");
}

#[test]
fn a_login_is_not_sent_to_another_host() {
    let world = World::new(Form::Json, cpu_wheel(b"plugin"));
    let (front, back) = (Server::start(), &world.server);
    let sum = common::sha256(&cpu_wheel(b"plugin"));
    let page =
        format!("<html><a href=\"http://{}{}#sha256={sum}\">x</a></html>", back.host, wheel_path());
    front.file(&format!("/simple/{CPU_PACKAGE}/"), "text/html", page.into());
    front.require_login("me:secret");
    let index = Index::new(&format!("http://me:secret@{}/simple", front.host)).unwrap();
    fetch(&plan(&request(Kind::Cpu, index, world.folder.path())).unwrap()).unwrap();
    assert!(front.seen().iter().all(|seen| seen.login.is_some()));
    assert!(back.seen().iter().all(|seen| seen.login.is_none()));
}

#[test]
fn packages_and_wheels_that_are_not_there_are_named() {
    let world = World::new(Form::Json, cpu_wheel(b"plugin"));
    let rocm = Request { kind: Kind::Rocm, ..world.request.clone() };
    let error = plan(&rocm).unwrap_err();
    assert!(matches!(error, Error::NoPackage { .. }), "{error}");
    assert!(error.to_string().contains("jax-rocm7-pjrt"), "{error}");

    let mut arm = world.request.clone();
    arm.machine.arch = "aarch64";
    let error = plan(&arm).unwrap_err();
    assert!(matches!(error, Error::NoWheel { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("linux aarch64") && text.contains(CPU_WHEEL), "{text}");

    let mut mac = world.request.clone();
    mac.machine.os = "macos";
    assert!(matches!(plan(&mac).unwrap_err(), Error::NoWheel { .. }));

    let tpu = Request { kind: Kind::Tpu, ..world.request.clone() };
    assert!(matches!(plan(&tpu).unwrap_err(), Error::NotFetched { kind: Kind::Tpu }));
}

#[test]
fn pages_that_are_none_are_named() {
    let world = World::new(Form::Json, cpu_wheel(b"plugin"));
    let page = format!("/simple/{CPU_PACKAGE}/");
    world.server.file(&page, "application/json", b"{\"no\": 1}".to_vec());
    let error = plan(&world.request).unwrap_err();
    assert!(matches!(error, Error::Index { .. }), "{error}");
    let listed = format!("<html><a href=\"/files/{CPU_WHEEL}\">no sum</a></html>");
    world.server.file(&page, "text/html", listed.into());
    let error = plan(&world.request).unwrap_err().to_string();
    assert!(error.contains("SHA-256") && error.contains(CPU_WHEEL), "{error}");
}

#[test]
fn certificates_that_are_none_are_named() {
    let world = World::new(Form::Json, cpu_wheel(b"plugin"));
    let path = world.folder.path().join("none.pem");
    fs::write(&path, "nothing").unwrap();
    let mut surroundings = logo_ssl_plugins::Surroundings::of_this_process(world.folder.path());
    surroundings.variables.insert("PIP_CERT".into(), path.into());
    let index = Index::of(&surroundings).unwrap();
    let error = plan(&request(Kind::Cpu, index, world.folder.path())).unwrap_err();
    assert!(matches!(error, Error::Certificates { .. }), "{error}");
}

const REQUIRES: &str = "Metadata-Version: 2.4\nName: jax-cuda13-plugin\nRequires-Dist: jax-cuda13-pjrt==0.11.2\n\
    Provides-Extra: with-cuda\n\
    Requires-Dist: nvidia-cublas>=13.0.0.19; sys_platform == \"linux\" and extra == \"with-cuda\"\n\
    Requires-Dist: nvidia-nvvm; extra == \"with-cuda\"\n\nText\n";

/// How the METADATA can be had.
#[derive(Clone, Copy, Debug)]
enum Offered {
    Beside,
    PromisedBeside,
    InRanges,
    InTheWheel,
}

/// A server with all that the CUDA plugin takes.
fn cuda_server(form: Form, offered: Offered) -> Server {
    let server = Server::start();
    let listed = |name: &str, entries: &[(&str, &[u8])]| Listed::new(name, wheel(entries));
    let plain = |name: &str| listed(name, &[("nvidia/cu13/lib/x.txt", b"x")]);
    server.package(
        form,
        "jax-cuda13-pjrt",
        &[
            plain("jax_cuda13_pjrt-0.12.0-py3-none-manylinux_2_27_x86_64.whl"),
            plain("jax_cuda13_pjrt-0.11.2-py3-none-manylinux_2_27_aarch64.whl"),
            listed(
                "jax_cuda13_pjrt-0.11.2-py3-none-manylinux_2_27_x86_64.whl",
                &[
                    ("jax_plugins/xla_cuda13/xla_cuda_plugin.so", b"plugin"),
                    ("jax_cuda13_pjrt-0.11.2.dist-info/METADATA", b"Name: x"),
                ],
            ),
            plain("jax_cuda13_pjrt-0.11.1-py3-none-manylinux_2_27_x86_64.whl"),
        ],
    );
    let mut declaring = listed(
        "jax_cuda13_plugin-0.11.2-cp312-cp312-manylinux_2_27_x86_64.whl",
        &[
            ("jax_cuda13_plugin/_prng.so", &noise(200_000)),
            ("jax_cuda13_plugin-0.11.2.dist-info/METADATA", REQUIRES.as_bytes()),
        ],
    );
    let path = format!("/files/{}", declaring.file);
    if matches!(offered, Offered::Beside | Offered::PromisedBeside) {
        declaring.metadata = Some(REQUIRES.to_owned());
    }
    server.package(form, "jax-cuda13-plugin", &[declaring]);
    match offered {
        Offered::PromisedBeside => server.always(&format!("{path}.metadata"), Mood::Refuses(404)),
        Offered::InTheWheel => server.always(&path, Mood::IgnoresRanges),
        Offered::Beside | Offered::InRanges => {}
    }
    let mut yanked = plain("nvidia_cublas-13.5.0.1-py3-none-manylinux_2_27_x86_64.whl");
    yanked.yanked = true;
    server.package(
        form,
        "nvidia-cublas",
        &[
            plain("nvidia_cublas-13.4.0.1-py3-none-manylinux_2_27_x86_64.whl"),
            yanked,
            plain("nvidia_cublas-13.6.0.1rc1-py3-none-manylinux_2_27_x86_64.whl"),
            plain("nvidia_cublas-13.10.0.1-py3-none-win_amd64.whl"),
            plain("nvidia_cublas-14.0.0.1-py3-none-manylinux_2_27_x86_64.whl"),
            plain("nvidia_cublas-13.4.1.1-py3-none-manylinux_2_39_x86_64.whl"),
            listed(
                "nvidia_cublas-13.4.1.1-py3-none-manylinux_2_27_x86_64.whl",
                &[
                    ("nvidia/cu13/lib/libcublas.so.13", b"library"),
                    ("nvidia/cu13/include/cublas.h", b"header"),
                ],
            ),
        ],
    );
    server.package(
        form,
        "nvidia-nvvm",
        &[listed(
            "nvidia_nvvm-13.5.37-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl",
            &[
                ("nvidia/cu13/nvvm/libdevice/libdevice.10.bc", b"device"),
                ("nvidia/cu13/bin/ptxas", b"program"),
                ("nvidia/cu13/bin/nvcc", b"compiler"),
            ],
        )],
    );
    server
}

#[test]
fn requirements_are_resolved_however_the_metadata_can_be_had() {
    for form in [Form::Html, Form::Json] {
        for offered in
            [Offered::Beside, Offered::PromisedBeside, Offered::InRanges, Offered::InTheWheel]
        {
            let server = cuda_server(form, offered);
            let folder = tempfile::tempdir().unwrap();
            let plan = plan(&request(Kind::Cuda, server.index(), folder.path())).unwrap();
            let wheels: Vec<_> = plan
                .wheels
                .iter()
                .map(|wheel| format!("{}-{}", wheel.name, wheel.version))
                .collect();
            assert_eq!(
                wheels,
                ["jax-cuda13-pjrt-0.11.2", "nvidia-cublas-13.4.1.1", "nvidia-nvvm-13.5.37"],
                "{form:?} {offered:?}"
            );
            assert!(plan.wheels[1].file.contains("manylinux_2_27"), "the least demanding of two");
            assert_eq!(plan.total_bytes, plan.wheels.iter().map(|wheel| wheel.size).sum::<u64>());
        }
    }
}

#[test]
fn the_cuda_plugin_lies_beside_its_libraries() {
    let server = cuda_server(Form::Html, Offered::InRanges);
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(&request(Kind::Cuda, server.index(), folder.path())).unwrap();
    let installed = fetch(&plan).unwrap();
    let cuda = installed.folder.join("nvidia/cu13");
    assert!(cuda.join("lib/libcublas.so.13").is_file());
    assert!(cuda.join("nvvm/libdevice/libdevice.10.bc").is_file());
    assert!(!cuda.join("include").exists() && !cuda.join("bin/nvcc").exists());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &str| cuda.join(path).metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("bin/ptxas"), 0o755);
        assert_eq!(mode("lib/libcublas.so.13") & 0o111, 0);
    }

    let mut surroundings = logo_ssl_plugins::Surroundings::of_this_process(folder.path());
    surroundings.variables.clear();
    surroundings.root = folder.path().to_path_buf();
    let candidates = surroundings.candidates(Kind::Cuda);
    assert_eq!(candidates.len(), 1);
    assert_eq!(candidates[0].path, installed.path());
    assert_eq!(candidates[0].version.as_deref(), Some("0.11.2"));
    let environment = surroundings.environment(&candidates[0]);
    assert_eq!(environment.library_paths, [cuda.join("lib")]);
    assert_eq!(environment.cuda_data_dir, Some(cuda));
}

#[test]
fn a_requirement_that_is_not_understood_is_named() {
    let server = cuda_server(Form::Html, Offered::Beside);
    let mut listed =
        Listed::new("jax_cuda13_plugin-0.11.2-cp312-cp312-manylinux_2_27_x86_64.whl", Vec::new());
    listed.metadata =
        Some("Requires-Dist: a @ https://host/a.whl ; extra == \"with-cuda\"\n".to_owned());
    server.package(Form::Html, "jax-cuda13-plugin", &[listed]);
    let folder = tempfile::tempdir().unwrap();
    let error = plan(&request(Kind::Cuda, server.index(), folder.path())).unwrap_err();
    assert!(matches!(error, Error::Requirement { .. }), "{error}");
}
