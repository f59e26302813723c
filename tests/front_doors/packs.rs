//! Packs that git does not make.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::{Stage, TOKEN};

/// A stream of zlib that compresses nothing (RFC 1950, RFC 1951 section 3.2.4).
fn stored(data: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x78, 0x01];
    let blocks = data.chunks(0xffff);
    let last = blocks.len() - 1;
    for (at, block) in blocks.enumerate() {
        let length = u16::try_from(block.len()).unwrap();
        stream.push(u8::from(at == last));
        stream.extend(length.to_le_bytes());
        stream.extend((!length).to_le_bytes());
        stream.extend(block);
    }
    let sums = data.iter().fold((1u32, 0u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65521;
        (a, (b + a) % 65521)
    });
    stream.extend((sums.1 << 16 | sums.0).to_be_bytes());
    stream
}

/// A number in groups of seven bits, the lowest first, after `first` that holds some bits already.
fn grouped(mut bytes: Vec<u8>, mut number: usize) -> Vec<u8> {
    while number > 0 || bytes.is_empty() {
        if let Some(last) = bytes.last_mut() {
            *last |= 0x80;
        }
        bytes.push(u8::try_from(number & 0x7f).unwrap());
        number >>= 7;
    }
    bytes
}

/// A pack of two objects (gitformat-pack(5)): a blob, and one that is `copies` times that.
fn swelling_pack(copies: usize) -> Vec<u8> {
    const BLOB_BYTES: usize = 0xffff;
    let head =
        |kind: u8, length: usize| grouped(vec![kind << 4 | u8::try_from(length & 15).unwrap()], length >> 4);
    let blob = [head(3, BLOB_BYTES), stored(&[0; BLOB_BYTES])].concat();
    let mut delta = [grouped(Vec::new(), BLOB_BYTES), grouped(Vec::new(), BLOB_BYTES * copies)].concat();
    for _ in 0..copies {
        // So many bytes from the begin of the other.
        delta.extend([0x80 | 0x10 | 0x20, 0xff, 0xff]);
    }
    // How far back the other begins; each group after the first stands for one more (the same page).
    let (mut back, mut offset) = (blob.len(), vec![u8::try_from(blob.len() & 0x7f).unwrap()]);
    while back > 0x7f {
        back = (back >> 7) - 1;
        offset.insert(0, 0x80 | u8::try_from(back & 0x7f).unwrap());
    }
    let swollen = [head(6, delta.len()), offset, stored(&delta)].concat();
    [b"PACK\0\0\0\x02\0\0\0\x02".to_vec(), blob, swollen].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_pack_that_would_swell_to_more_than_git_may_take_is_refused() {
    let stage = Stage::open().await;
    assert!(stage.dyno(&["create", "example"]).await.status.success());
    let wish = format!("{} {} refs/heads/main\0report-status", "0".repeat(40), "1a".repeat(20));
    let mut body = format!("{:04x}{wish}0000", wish.len() + 4).into_bytes();
    // Three gigabytes.
    body.extend(swelling_pack(3 << 14));
    assert!(body.len() < 1 << 20);
    let login = STANDARD.encode(format!("x:{TOKEN}"));
    let headers =
        format!("Authorization: Basic {login}\r\nContent-Type: application/x-git-receive-pack-request\r\n");
    let (status, answer) = stage.http("POST /example.git/git-receive-pack", &headers, &body).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(status == 200 && answer.contains("unpack unpack-objects abnormal exit"), "{status}: {answer}");
    // A client that wants progress and reasons gets them beside the report.
    let wish = wish.replace("report-status", "report-status side-band-64k");
    let mut body = format!("{:04x}{wish}0000", wish.len() + 4).into_bytes();
    body.extend(swelling_pack(3 << 14));
    let (_, answer) = stage.http("POST /example.git/git-receive-pack", &headers, &body).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.contains("Out of memory, malloc failed (tried to allocate 32"), "{answer}");
}
