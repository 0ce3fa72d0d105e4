//! The page in a real browser: nothing on its console, nothing from elsewhere, readable in any width and either
//! scheme, and usable by keys. It needs Chromium, and says so where there is none.

#[path = "support/browser.rs"]
mod browser;
mod support;

use std::fs;
use std::io::Write;
use std::path::Path;

use browser::Browser;
use logo_ssl::record::synthetic;
use serde_json::Value;
use support::{Running, lines, run};

/// A name that would run a script, were it ever read as HTML.
const SLY: &str = "<img src=x onerror=document.title='sly'>";

/// The names of the views, and where they are.
fn views() -> [(&'static str, String); 3] {
    let sly = "%3Cimg%20src%3Dx%20onerror%3Ddocument.title%3D'sly'%3E";
    [
        ("list", "#/".to_owned()),
        ("run", "#/run/sweep%2Flogo-seed-0".to_owned()),
        ("compare", format!("#/compare/sweep%2Flogo-seed-0,sweep%2Fplain-seed-0,{sly}")),
    ]
}

/// Runs as there may be.
fn runs(folder: &Path) {
    run(&folder.join("sweep/logo-seed-0"), 6, &["seed=0"]);
    run(&folder.join("sweep/plain-seed-0"), 5, &["framework.logo=false", "optimizer.lr=0.2"]);
    run(&folder.join(SLY), 3, &[]);
    fs::write(folder.join(SLY).join("config.toml"), "preset = '<script>document.title=1</script>'")
        .unwrap();
    let text = lines(&synthetic::records(1, true)[..30]);
    run(&folder.join("begun"), 9, &[]);
    fs::write(folder.join("begun/metrics.jsonl"), text).unwrap();
}

/// Waits until a view is drawn whole.
fn open(browser: &mut Browser, server: &Running, hash: &str) {
    browser.open("about:blank");
    browser.open(&format!("http://{}/{hash}", server.address));
    let drawn = match hash {
        "#/" => "document.querySelectorAll('.runs tbody tr').length > 0",
        _ => "document.querySelectorAll('.chart svg path').length > 3",
    };
    browser.wait(drawn);
}

#[test]
fn the_page_in_a_browser() {
    let Some(mut browser) = Browser::start() else {
        // Not by a macro, whose output is kept from whoever runs the tests.
        let _ = std::io::stderr()
            .write_all(b"\nSKIPPED, there is no chromium: the page in a browser\n");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    runs(folder.path());
    let server = Running::of(folder.path());
    server.runs();
    for (name, hash) in views() {
        for (width, scheme) in
            [(390, "light"), (390, "dark"), (768, "light"), (1440, "light"), (1440, "dark")]
        {
            browser.look(width, 900, scheme);
            open(&mut browser, &server, &hash);
            is_readable(&mut browser, &format!("{name}, {width}, {scheme}"));
        }
        is_reached_by_keys(&mut browser, name);
    }
    names_are_text(&mut browser, &server);
    the_list_is_sorted_filtered_and_chosen_from(&mut browser, &server);
    a_run_is_live(&mut browser, &server, folder.path());
    addresses_of_nothing_are_said(&mut browser, &server);
    asked_for_nothing_elsewhere(&browser, &server);
    a_report_is_kept_apart(&mut browser, &server, folder.path());
}

/// Nothing is wider than the window, and all text stands out from its ground (WCAG 2, AA).
fn is_readable(browser: &mut Browser, which: &str) {
    let wide = browser.evaluate("[document.documentElement.scrollWidth, innerWidth]");
    assert!(wide[0].as_u64() <= wide[1].as_u64(), "{which}: {wide}");
    let faint = browser.evaluate(include_str!("support/contrast.js"));
    assert_eq!(faint, serde_json::json!([]), "{which}");
}

/// Tab comes to everything that can be used, and shows where it is.
fn is_reached_by_keys(browser: &mut Browser, which: &str) {
    let usable = "[...document.querySelectorAll('a[href], button, input, select, summary, [tabindex=\"0\"]')]\
                  .filter((one) => !one.disabled && one.checkVisibility()).length";
    let count = browser.evaluate(usable).as_u64().unwrap();
    browser.evaluate("globalThis.reached = new Set(); document.activeElement.blur()");
    for _ in 0..count + 5 {
        browser.press("Tab", 9);
        let shown = browser.evaluate(
            "(() => { const one = document.activeElement; if (one === document.body) return true; reached.add(one); \
             return getComputedStyle(one).outlineStyle !== 'none'; })()",
        );
        let one = "document.activeElement.outerHTML.slice(0, 200)";
        assert!(shown == true, "{which}: the focus is not seen on {}", browser.evaluate(one));
    }
    let reached = browser.evaluate("reached.size").as_u64().unwrap();
    assert_eq!(reached, count, "{which}");
}

fn names_are_text(browser: &mut Browser, server: &Running) {
    for (name, hash) in views() {
        open(browser, server, &hash);
        let title = browser.evaluate("document.title");
        assert!(!["sly", "1"].contains(&title.as_str().unwrap()), "{name}: {title}");
        assert_eq!(
            browser.evaluate("document.querySelectorAll('main script, main img[src=x]').length"),
            0
        );
    }
    let text = browser.evaluate("document.querySelector('main').textContent");
    assert!(text.as_str().unwrap().contains(SLY), "{text}");
}

fn the_list_is_sorted_filtered_and_chosen_from(browser: &mut Browser, server: &Running) {
    browser.look(1440, 900, "light");
    open(browser, server, "#/");
    let names = "[...document.querySelectorAll('.runs tbody tr:not([hidden]) th a')].map((a) => a.textContent)";
    browser.evaluate("document.querySelector('.runs thead .name button').click()");
    let sorted = browser.evaluate(names);
    assert_eq!(sorted[1], "begun", "{sorted}");
    browser.evaluate("document.querySelector('.runs thead .name button').click()");
    assert_eq!(browser.evaluate(names)[0], "sweep/plain-seed-0");
    assert_eq!(
        browser.evaluate("document.querySelector('.runs thead .name').ariaSort"),
        "descending"
    );
    browser.evaluate("filter.value = 'sweep simclr'; filter.dispatchEvent(new Event('input'))");
    assert_eq!(browser.evaluate(names).as_array().unwrap().len(), 2);
    assert_eq!(browser.evaluate("location.hash"), "#/?sort=-name&filter=sweep+simclr");
    browser.evaluate(
        "document.querySelectorAll('.runs tr:not([hidden]) input').forEach((box) => box.click())",
    );
    browser.evaluate("document.querySelector('.button.main').click()");
    browser.wait("document.querySelectorAll('.chart svg path').length > 3");
    assert_eq!(browser.evaluate("document.querySelectorAll('.chips li').length"), 2);
    browser.evaluate("history.back()");
    browser.wait(
        "document.querySelectorAll('.runs tbody tr:not([hidden]) input:checked').length === 2",
    );
}

fn a_run_is_live(browser: &mut Browser, server: &Running, folder: &Path) {
    open(browser, server, "#/run/begun");
    let facts = "document.querySelector('.progress p').textContent";
    assert!(browser.evaluate(facts).as_str().unwrap().contains("step 28"));
    let more = lines(&synthetic::records(1, true)[30..35]);
    let log = fs::OpenOptions::new().append(true).open(folder.join("begun/metrics.jsonl"));
    log.unwrap().write_all(more.as_bytes()).unwrap();
    browser.wait(&format!("{facts}.includes('step 33')"));
}

fn addresses_of_nothing_are_said(browser: &mut Browser, server: &Running) {
    let before = browser.complaints.len();
    browser.open("about:blank");
    browser.open(&format!("http://{}/#/run/none", server.address));
    browser.wait("document.querySelector('.banner')?.textContent.includes('no such run') === true");
    // The browser itself logs an answer of 404.
    browser.complaints.retain(|complaint| !complaint.contains("404"));
    assert!(browser.complaints.len() <= before);
}

fn asked_for_nothing_elsewhere(browser: &Browser, server: &Running) {
    assert_eq!(browser.complaints, Vec::<String>::new());
    let own = format!("http://{}/", server.address);
    for request in &browser.requests {
        assert!(request.starts_with(&own) || request == "about:blank", "{request}");
    }
    assert!(browser.requests.len() > 50, "requests are seen");
}

/// A report runs its own script, and reaches neither the API nor anything else.
fn a_report_is_kept_apart(browser: &mut Browser, server: &Running, folder: &Path) {
    let report = "<!doctype html><title>begun</title><script>document.title = 'ran'; \
                  fetch('/api/runs').then(() => document.title = 'reached', () => document.title = 'ran alone');</script>";
    fs::write(folder.join("begun/report.html"), report).unwrap();
    browser.open(&format!("http://{}/runs/begun/report.html", server.address));
    browser.wait("document.title === 'ran alone'");
    assert_eq!(
        browser.evaluate("location.origin === 'null' || origin === 'null'"),
        Value::Bool(true)
    );
}

/// Pictures of every view, to look at: `LOGO_SSL_SCREENSHOTS=DIR`, and `LOGO_SSL_RUNS=DIR` for runs of one's own.
#[test]
#[ignore = "makes pictures for a person to look at"]
fn pictures() {
    let out = std::path::PathBuf::from(std::env::var_os("LOGO_SSL_SCREENSHOTS").unwrap());
    let made = tempfile::tempdir().unwrap();
    runs(made.path());
    let folder = std::env::var_os("LOGO_SSL_RUNS").map_or(made.path().to_path_buf(), Into::into);
    let server = Running::of(&folder);
    let answer = server.runs();
    let names: Vec<&str> =
        answer["runs"].as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap()).collect();
    let encoded: Vec<String> = names.iter().take(4).map(|name| name.replace('/', "%2F")).collect();
    let mut browser = Browser::start().unwrap();
    let views = [
        ("list", "#/".to_owned()),
        ("run", format!("#/run/{}", encoded[0])),
        ("compare", format!("#/compare/{}", encoded.join(","))),
    ];
    for (name, hash) in views {
        for (width, scheme) in [(390, "light"), (390, "dark"), (1440, "light"), (1440, "dark")] {
            browser.look(width, 1000, scheme);
            open(&mut browser, &server, &hash);
            browser.picture(&out.join(format!("{name}-{width}-{scheme}.png")));
        }
    }
}
