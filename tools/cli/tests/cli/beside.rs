//! Looks into a file that another process is writing: never a word of damage.

use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::Place;

/// How long the writer is looked at.
const LOOKED_AT: Duration = Duration::from_secs(8);

#[test]
fn no_verb_finds_damage_in_a_file_that_another_process_writes() {
    let place = Place::new();
    let mut child = place
        .command(&["load", "a", "--format", "pairs", "--batch", "500"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // New records, and the same ones again and again: resizes, overflow, free pages, values of all
    // sizes, a log that comes to checkpoints.
    let writer = std::thread::spawn(move || {
        for round in 0_u32.. {
            let mut batch = Vec::new();
            for n in 0_u32..500 {
                let key = if n < 100 { round * 100 + n } else { n };
                let len = if n % 50 == 7 { 5_000 } else { 30 + n % 200 };
                batch.extend_from_slice(&[4, 0, 0, 0]);
                batch.extend_from_slice(&len.to_le_bytes());
                batch.extend_from_slice(&key.to_le_bytes());
                batch.extend(round.to_le_bytes().iter().cycle().take(len as usize));
            }
            if stdin.write_all(&batch).is_err() {
                return;
            }
        }
    });
    while !place.path("a").exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let looks: [&[&str]; 12] = [
        &["check", "a"],
        &["stat", "a"],
        &["check", "a", "--quick"],
        &["dump", "a", "meta"],
        &["dump", "a", "directory"],
        &["dump", "a", "bitmap"],
        &["dump", "a", "bucket", "0"],
        &["dump", "a", "overflow", "0"],
        &["dump", "a", "log"],
        &["dump", "a", "key", "user"],
        &["explain", "a", "user"],
        &["metrics", "a"],
    ];
    let started = Instant::now();
    let (mut count, mut overtaken) = (0, 0);
    while started.elapsed() < LOOKED_AT {
        for look in looks {
            let ran = place.run(look);
            let (out, err) = (String::from_utf8_lossy(&ran.out), ran.err.as_str());
            assert!(!out.contains("damage") || out.contains("without damage"), "{look:?}: {out}");
            let is_late = ran.code == 4 && err.contains("writer moved on");
            let is_absent = look[0] == "explain" && ran.code == 1 && out.contains("absent");
            assert!(ran.code == 0 || is_late || is_absent, "{look:?}: {}, {out}{err}", ran.code);
            count += 1;
            overtaken += u32::from(is_late || out.contains("writer moved on"));
        }
    }
    println!("{count} looks, {overtaken} of them overtaken");
    child.kill().unwrap();
    writer.join().unwrap();
    let _ = child.wait();
    assert_eq!(place.run(&["check", "a"]).code, 0);
}
