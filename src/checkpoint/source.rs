//! Where the bytes of a checkpoint come from.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    ops::Deref,
};

/// Bytes that are asked for piece by piece.
pub(super) trait Source {
    /// How many there are.
    fn length(&mut self) -> io::Result<u64>;

    /// `bytes` of them, from the one at `from` on.
    fn piece(&mut self, from: u64, bytes: usize) -> io::Result<impl Deref<Target = [u8]>>;
}

/// Bytes that are read.
pub(super) struct Stream<R>(pub R);

impl<R: Read + Seek> Source for Stream<R> {
    fn length(&mut self) -> io::Result<u64> {
        self.0.seek(SeekFrom::End(0))
    }

    fn piece(&mut self, from: u64, bytes: usize) -> io::Result<impl Deref<Target = [u8]>> {
        let mut piece = vec![0; bytes];
        self.0.seek(SeekFrom::Start(from))?;
        self.0.read_exact(&mut piece)?;
        Ok(piece)
    }
}

/// A file. Its pieces are mapped into memory, but for those of a page or less, which are read.
pub(super) struct Disk(pub File);

/// A piece of a file.
enum Piece {
    #[cfg(not(target_arch = "wasm32"))]
    Mapped(memmap2::Mmap),
    Read(Vec<u8>),
}

impl Deref for Piece {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            #[cfg(not(target_arch = "wasm32"))]
            Piece::Mapped(piece) => piece,
            Piece::Read(piece) => piece,
        }
    }
}

impl Source for Disk {
    fn length(&mut self) -> io::Result<u64> {
        Stream(&self.0).length()
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn piece(&mut self, from: u64, bytes: usize) -> io::Result<impl Deref<Target = [u8]>> {
        if bytes <= 4096 {
            return Ok(Piece::Read(Stream(&self.0).piece(from, bytes)?.to_vec()));
        }
        // A file that has become shorter is an error now rather than a signal later.
        if self.0.metadata()?.len() < from + bytes as u64 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // SAFETY: the bytes must stay as they are while they are mapped. Nothing here writes to the file, and the mapping
        // ends with the piece; that no other program may do so meanwhile is what the docs of `Load::file` say.
        let piece = unsafe { memmap2::MmapOptions::new().offset(from).len(bytes).map(&self.0)? };
        Ok(Piece::Mapped(piece))
    }

    #[cfg(target_arch = "wasm32")]
    fn piece(&mut self, from: u64, bytes: usize) -> io::Result<impl Deref<Target = [u8]>> {
        Ok(Piece::Read(Stream(&self.0).piece(from, bytes)?.to_vec()))
    }
}
