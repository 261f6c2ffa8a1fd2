//! The checksum of Ethernet, gzip and PNG, which finds each flipped bit and each short burst.

/// CRC-32 as IEEE 802.3 has it.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in bytes {
        crc = crc >> 8 ^ TABLE[usize::from(crc.to_le_bytes()[0] ^ byte)];
    }
    !crc
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let (mut at, mut first) = (0, 0_u32);
    while at < table.len() {
        let mut entry = first;
        let mut bit = 0;
        while bit < 8 {
            entry = if entry & 1 == 1 { entry >> 1 ^ 0xedb8_8320 } else { entry >> 1 };
            bit += 1;
        }
        table[at] = entry;
        at += 1;
        first += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_is_the_published_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
    }
}
