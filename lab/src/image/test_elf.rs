//! Small ELF files for the tests of this module.

/// A 64-bit little-endian ELF file under construction.
#[derive(Default)]
pub(super) struct TestElf {
    segments: Vec<(u32, Vec<u8>)>,
    sections: Vec<(String, u32, u32, Vec<u8>)>,
}

impl TestElf {
    /// Adds a segment of type `kind` (`PT_*`).
    pub(super) fn segment(mut self, kind: u32, bytes: &[u8]) -> Self {
        self.segments.push((kind, bytes.to_vec()));
        self
    }

    /// Adds a section of type `kind` (`SHT_*`); sections count from 1, and `link` is such a number.
    pub(super) fn section(mut self, name: &str, kind: u32, link: u32, bytes: &[u8]) -> Self {
        self.sections.push((name.to_owned(), kind, link, bytes.to_vec()));
        self
    }

    /// Its bytes: header, program headers, contents, section headers.
    pub(super) fn build(mut self) -> Vec<u8> {
        let mut names = vec![0];
        let mut name_offsets = Vec::new();
        self.sections.push((".shstrtab".to_owned(), 3, 0, Vec::new()));
        for (name, ..) in &self.sections {
            name_offsets.push(u32::try_from(names.len()).unwrap());
            names.extend(name.bytes().chain([0]));
        }
        self.sections.last_mut().unwrap().3 = names;

        let mut contents = Vec::new();
        let start = 64 + 56 * self.segments.len();
        let mut place = |bytes: &[u8]| {
            contents.resize(contents.len().next_multiple_of(8), 0);
            let at = start + contents.len();
            contents.extend(bytes);
            (at as u64, bytes.len() as u64)
        };
        let segments: Vec<_> = self.segments.iter().map(|(_, bytes)| place(bytes)).collect();
        let sections: Vec<_> = self.sections.iter().map(|(_, _, _, bytes)| place(bytes)).collect();

        let mut out = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let counts = (self.segments.len(), self.sections.len() + 1);
        let counts = [counts.0, counts.1].map(|count| u16::try_from(count).unwrap());
        words16(&mut out, &[1, 62, 1, 0]); // ET_REL, EM_X86_64, version 1
        words64(&mut out, &[0, 64, (start + contents.len()) as u64]);
        words16(&mut out, &[0, 0, 64, 56, counts[0], 64, counts[1], counts[1] - 1]);
        for ((kind, _), (at, size)) in self.segments.iter().zip(segments) {
            words32(&mut out, &[*kind, 4]);
            words64(&mut out, &[at, 0, 0, size, size, 4]);
        }
        out.extend(contents);
        out.extend([0; 64]);
        for (((_, kind, link, _), (at, size)), name) in
            self.sections.iter().zip(sections).zip(name_offsets)
        {
            words32(&mut out, &[name, *kind]);
            words64(&mut out, &[0, 0, at, size]);
            words32(&mut out, &[*link, 0]);
            words64(&mut out, &[8, 0]);
        }
        out
    }
}

fn words16(out: &mut Vec<u8>, words: &[u16]) {
    out.extend(words.iter().flat_map(|word| word.to_le_bytes()));
}

fn words32(out: &mut Vec<u8>, words: &[u32]) {
    out.extend(words.iter().flat_map(|word| word.to_le_bytes()));
}

fn words64(out: &mut Vec<u8>, words: &[u64]) {
    out.extend(words.iter().flat_map(|word| word.to_le_bytes()));
}
