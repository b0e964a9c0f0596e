//! Reading a log: from a number onwards, in ranges of the bytes on disk.
//!
//! A cursor walks frames below the published end and hands out their payloads as they are: the
//! entries of `records` in the reply. A frame's payload is checked against its CRC once per
//! pass, before its first byte leaves. Where a frame is not right the cursor says what is lost
//! and where reading goes on, and does so again whenever it is asked for the lost numbers;
//! asked for later ones, it steps over the damage. What the medium does not give is told in the
//! same way, but tried again each time.

use std::io::ErrorKind;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::{Damage, Error, IoContext, Result, is_unreadable};
use crate::log::LogView;
use crate::log::frame::{FRAME_HEADER_BYTES, Fault, FrameHeader};
use crate::log::header::FRAMES_START;
use crate::log::inside::Inside;
use crate::log::place::Place;
use crate::log::segment::{Fence, OpenSegment, Segment};
use crate::mutant::Mutant;
use crate::record::{entry, entry_stamp};
use crate::sequence::SequenceNumber;

/// How much a page may hold. It holds at least one record if there is one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadLimit {
    /// Records at most.
    pub records: usize,
    /// Encoded bytes at most.
    pub bytes: usize,
}

/// What one read gave.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// One after the other exactly the encoded `records` of the reply.
    pub ranges: Vec<Bytes>,
    /// Records in the ranges.
    pub records: usize,
    /// Bytes of the ranges.
    pub bytes: usize,
    /// Where reading goes on.
    pub next: SequenceNumber,
    /// When the last record of the page arrived; `None` in an empty page.
    pub last_arrival_ms: Option<u64>,
    /// The shard is closed and this was its last record, or there was none left: reading goes on
    /// in its children.
    pub is_end: bool,
    /// How far the position lies behind the newest record, in milliseconds: 0 at the tip, else
    /// the age of the last record of the page.
    pub millis_behind: u64,
}

/// A position in a log, and what it takes to read on from there quickly.
#[derive(Clone)]
pub(crate) struct LogCursor {
    view: Arc<LogView>,
    position: SequenceNumber,
    place: Option<Place>,
    /// Ranges of a page at most.
    ranges_max: usize,
    /// Whether it goes on with the pass that left a bookmark at its position.
    goes_on: bool,
    /// Whether payloads are compared with their checksums.
    verifies: bool,
}

/// What a step of the walk found.
enum Step {
    Frame(FrameHeader),
    Tip,
}

impl LogCursor {
    pub(crate) fn new(view: Arc<LogView>, position: SequenceNumber) -> LogCursor {
        LogCursor {
            view,
            position,
            place: None,
            ranges_max: usize::MAX,
            goes_on: false,
            verifies: true,
        }
    }

    /// A cursor that goes on with the pass that has left a bookmark at the position, if one has.
    pub(crate) fn go_on(&mut self) {
        self.goes_on = true;
    }

    /// Leaves a bookmark, with which the pass goes on later: what it has verified by then is not
    /// verified again.
    pub(crate) fn leave_bookmark(&self) {
        if let Some(place) = &self.place {
            place.segment.keep_bookmark(place.bookmark(self.position));
        }
    }

    /// From here on it compares no payload with its checksum.
    pub(crate) fn skip_checksums(&mut self) {
        self.verifies = false;
    }

    pub(crate) fn limit_ranges(&mut self, ranges_max: usize) {
        self.ranges_max = ranges_max;
    }

    pub(crate) fn position(&self) -> SequenceNumber {
        self.position
    }

    /// Goes on at `to`.
    pub(crate) fn seek(&mut self, to: SequenceNumber) {
        if to != self.position {
            self.position = to;
            self.place = None;
        }
    }

    /// Whether the next read may have to wait for the disk: it leaves the newest segment, and
    /// what it would read elsewhere is not known to be in memory.
    pub(crate) fn is_cold(&mut self, limit: ReadLimit) -> bool {
        self.skip_trimmed();
        let segments = self.view.segments();
        let Some(last) = segments.last() else { return false };
        let is_in_newest = match &self.place {
            Some(place) => Arc::ptr_eq(last, &place.segment),
            None => self.position >= last.base(),
        };
        if is_in_newest {
            return false;
        }
        if self.place.is_none() {
            self.place = self.segment_at_position(&segments).and_then(|segment| {
                let open = segment.open_already(&self.view.cache)?;
                Some(self.place_in(segment, open))
            });
        }
        let Some(place) = &mut self.place else { return true };
        let Some(beyond) = place.resident_up_to(limit.bytes) else { return true };
        let base = place.segment.base();
        let following = segments.partition_point(|segment| segment.base() <= base);
        let following = segments.get(following).filter(|segment| !Arc::ptr_eq(segment, last));
        match following {
            Some(segment) if beyond > 0 => !self.begins_resident(segment, beyond),
            _ => false,
        }
    }

    /// Whether a segment is open, and so many bytes of its first frames are known to be in memory.
    fn begins_resident(&self, segment: &Segment, bytes: usize) -> bool {
        let Some(open) = segment.open_already(&self.view.cache) else { return false };
        let end = segment.extent().map_or(FRAMES_START, |extent| extent.end);
        let bytes = bytes.min(end.saturating_sub(FRAMES_START) as usize);
        open.map.is_resident(FRAMES_START, bytes)
    }

    fn skip_trimmed(&mut self) {
        let horizon = self.view.trim_horizon();
        if self.position < horizon {
            self.seek(horizon);
        }
    }

    /// Reads on. An empty page means the tip is reached.
    pub(crate) fn read(&mut self, limit: ReadLimit) -> Result<Page> {
        self.skip_trimmed();
        let mut page = Page::default();
        while page.records < limit.records
            && page.bytes < limit.bytes.max(1)
            && page.ranges.len() < self.ranges_max
        {
            let before = page.records;
            match self.step() {
                Ok(Step::Tip) => break,
                Ok(Step::Frame(header)) => {
                    if let Err(error) = self.take(header, limit, &mut page) {
                        // What is good so far goes out first; the damage is met again next time.
                        if page.records > 0 {
                            break;
                        }
                        return Err(error);
                    }
                    if page.records == before {
                        break;
                    }
                }
                Err(_) if page.records > 0 => break,
                // Retention has overtaken us: what it dropped is gone by right.
                Err(Error::Damage(damage)) if damage.first_lost < self.view.trim_horizon() => {
                    self.seek(self.view.trim_horizon());
                }
                Err(error) => return Err(error),
            }
        }
        page.next = self.position;
        Ok(page)
    }

    /// The number of the first record that arrived at or after `arrival_ms`; the tip where
    /// there is none yet. Of what is lost no one knows when it arrived: where damage stands
    /// directly before that record, the first lost number is the answer.
    pub(crate) fn seek_time(&mut self, arrival_ms: u64) -> Result<SequenceNumber> {
        let segments = self.view.segments();
        // Segments open lazily, so their times are asked for in order of a binary search.
        let (mut low, mut high) = (0, segments.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            let ends_before = match segments[middle].open(&self.view.cache) {
                Ok(_) => segments[middle]
                    .extent()
                    .is_some_and(|extent| extent.last_arrival_ms < arrival_ms),
                // The walk meets the loss and tells of it.
                Err(error) if reason_of_loss(&error).is_some() => false,
                Err(error) => return Err(error),
            };
            if ends_before { low = middle + 1 } else { high = middle }
        }
        let Some(segment) = segments.get(low) else {
            self.seek(self.view.tip());
            return Ok(self.position);
        };
        let start = segment.index_at_time(arrival_ms).map_or(segment.base(), |entry| entry.base);
        self.seek(start.max(self.view.trim_horizon()));
        let mut lost = None;
        loop {
            let found = self.step().and_then(|step| match step {
                Step::Tip => Ok(None),
                Step::Frame(header) if header.last_arrival_ms < arrival_ms => {
                    Ok(Some((header, false)))
                }
                // The record is in this frame: look at the entries one by one.
                Step::Frame(header) => Ok(Some((header, self.entry_at_time(header, arrival_ms)?))),
            });
            match found {
                Ok(None) => break,
                Ok(Some((header, true))) => {
                    // An earlier record of the same frame is older than the time.
                    lost = lost.filter(|_| self.position == header.base);
                    break;
                }
                Ok(Some((header, false))) => {
                    lost = None;
                    self.leave(&header);
                }
                Err(Error::Damage(damage)) => {
                    lost.get_or_insert(damage.first_lost);
                    self.seek(damage.next_readable);
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(lost) = lost {
            self.seek(lost);
        }
        Ok(self.position)
    }

    fn entry_at_time(&mut self, header: FrameHeader, arrival_ms: u64) -> Result<bool> {
        let payload = self.enter(&header, false)?;
        let place = self.place.as_mut().expect("enter keeps the place");
        let inside = place.inside.as_mut().expect("entered");
        while inside.consumed < payload.len() {
            let Some((bytes, arrived)) = border(&payload[inside.consumed..]) else {
                return Err(self.fence(Fault::Foreign, Some(header))?);
            };
            if inside.at >= self.position && arrived >= arrival_ms {
                self.position = inside.at;
                return Ok(true);
            }
            inside.consumed += bytes;
            inside.at = inside.at.next();
        }
        Ok(false)
    }

    /// Adds what fits of a frame to the page.
    fn take(&mut self, header: FrameHeader, limit: ReadLimit, page: &mut Page) -> Result<()> {
        let records_left = limit.records - page.records;
        let bytes_left = limit.bytes.saturating_sub(page.bytes);
        let fits = self.position <= header.base
            && header.count as usize <= records_left
            && header.payload_bytes as usize <= bytes_left;
        let payload = self.enter(&header, !fits)?;
        let place = self.place.as_mut().expect("enter keeps the place");
        let inside = place.inside.as_mut().expect("entered");
        if fits && inside.at == header.base {
            page.records += header.count as usize;
            page.bytes += payload.len();
            page.last_arrival_ms = Some(header.last_arrival_ms);
            page.ranges.push(payload);
            self.leave(&header);
            return Ok(());
        }

        let takes_one = page.records == 0;
        let skipped = inside.skip_to(&payload, self.position);
        let cut = skipped.and_then(|()| inside.cut(&payload, records_left, bytes_left, takes_one));
        let Some(cut) = cut else {
            return Err(self.fence(Fault::Foreign, Some(header))?);
        };
        let start = inside.consumed;
        if cut.entries > 0 {
            page.records += cut.entries;
            page.bytes += cut.end - start;
            page.last_arrival_ms = cut.last_arrival_ms;
            page.ranges.push(payload.slice(start..cut.end));
        }
        inside.consumed = cut.end;
        inside.at = inside.at.plus(cut.entries as u64);
        self.position = self.position.max(inside.at);
        if cut.end == payload.len() {
            self.leave(&header);
        }
        Ok(())
    }

    /// The payload of the frame at the place, found right; moves inside it. One that is going to
    /// be cut is walked on the way.
    fn enter(&mut self, header: &FrameHeader, is_cut: bool) -> Result<Bytes> {
        let place = self.place.as_mut().expect("a frame was found at a place");
        let offset = place.offset + FRAME_HEADER_BYTES as u64;
        let len = header.payload_bytes as usize;
        let payload = match place.bytes(offset, len) {
            Ok(Some(payload)) => payload,
            Ok(None) => return Err(self.fence(Fault::Short, Some(*header))?),
            Err(error) if is_unreadable(&error) => {
                let fence = self.unreadable_range(Some(*header))?;
                return Err(self.damage(fence));
            }
            Err(error) => return Err(self.refused(error, Some(*header))?),
        };
        let place = self.place.as_mut().expect("a frame was found at a place");
        if place.inside.is_none() {
            let verifies = self.verifies && !Mutant::NoPayloadCheck.is_on();
            place.inside = match verifies {
                true => Inside::verified(header, &payload, is_cut),
                false => Some(Inside::unverified(header)),
            };
            if place.inside.is_none() {
                return Err(self.fence(Fault::PayloadCrc, Some(*header))?);
            }
        }
        Ok(payload)
    }

    /// Steps behind a frame.
    fn leave(&mut self, header: &FrameHeader) {
        let place = self.place.as_mut().expect("a frame was found at a place");
        place.pass(header);
        self.position = self.position.max(header.next());
    }

    /// Finds the frame that holds the position or is the first behind it, over gaps, the ends
    /// of segments, and damage that ends before the position.
    fn step(&mut self) -> Result<Step> {
        loop {
            // At the tip there is nothing to open, nor to miss if the file is gone.
            let is_at_tip = self.place.is_none() && self.position >= self.view.tip();
            if is_at_tip || (self.place.is_none() && !self.find_place()?) {
                return self.at_tip();
            }
            let place = self.place.as_mut().expect("just found");
            if let Some(inside) = &place.inside {
                return Ok(Step::Frame(inside.header));
            }
            let end = place.segment.extent().map_or(FRAMES_START, |extent| extent.end);
            if place.offset >= end {
                if !self.next_segment()? {
                    return self.at_tip();
                }
                continue;
            }
            if let Some(fence) = place.segment.fence_at(place.offset) {
                self.pass(fence)?;
                continue;
            }
            let header = match place.header_at() {
                Ok(Ok(header)) => header,
                Ok(Err(fault)) => {
                    self.add_fence(fault, None)?;
                    continue;
                }
                Err(error) if is_unreadable(&error) => {
                    let fence = self.unreadable_range(None)?;
                    self.pass(fence)?;
                    continue;
                }
                Err(error) => return Err(self.refused(error, None)?),
            };
            if header.next() <= self.position {
                place.pass(&header);
                continue;
            }
            if header.is_lost() {
                // `repair` has put it on record; readers go on without a further word.
                place.pass(&header);
                self.position = header.next();
                continue;
            }
            if header.base > self.position {
                if !header.follows_gap() {
                    return Err(self.missing(header.base));
                }
                self.position = header.base;
            }
            return Ok(Step::Frame(header));
        }
    }

    /// Chooses segment and frame by the position. False where there is no segment.
    fn find_place(&mut self) -> Result<bool> {
        let segments = self.view.segments();
        let Some(segment) = self.segment_at_position(&segments) else { return Ok(false) };
        self.place = Some(self.enter_segment(segment)?);
        Ok(true)
    }

    /// The segment that holds the position, or the first one.
    fn segment_at_position<'a>(&self, segments: &'a [Arc<Segment>]) -> Option<&'a Arc<Segment>> {
        let behind = segments.partition_point(|segment| segment.base() <= self.position);
        segments.get(behind.saturating_sub(1))
    }

    fn enter_segment(&self, segment: &Arc<Segment>) -> Result<Place> {
        let open =
            segment.open(&self.view.cache).map_err(|error| match reason_of_loss(&error) {
                Some(found) => self.file_lost(segment, found),
                None => error,
            })?;
        Ok(self.place_in(segment, open))
    }

    fn place_in(&self, segment: &Arc<Segment>, open: Arc<OpenSegment>) -> Place {
        let bookmark = self.goes_on.then(|| segment.take_bookmark(self.position)).flatten();
        Place::new(segment, open, self.position, bookmark)
    }

    /// All numbers of a file are lost, as far as we can see now.
    fn file_lost(&self, segment: &Arc<Segment>, found: &'static str) -> Error {
        if found == Fault::Unreadable.describe() && segment.note_unreadable(0) {
            self.view.cache.note_damage();
            tracing::error!(file = %segment.path().display(), found, "damage found while reading");
        }
        Error::Damage(Damage {
            stream: self.view.stream,
            shard: self.view.shard,
            file: segment.path().to_owned(),
            offset: 0,
            first_lost: self.position,
            next_readable: self.first_behind(segment),
            found,
        })
    }

    /// Moves to the segment behind the place's. False where there is none.
    fn next_segment(&mut self) -> Result<bool> {
        let place = self.place.as_ref().expect("the caller stands in a segment");
        let segments = self.view.segments();
        let following = segments.partition_point(|segment| segment.base() <= place.segment.base());
        let Some(segment) = segments.get(following) else { return Ok(false) };
        self.place = Some(self.enter_segment(segment)?);
        Ok(true)
    }

    /// At the end of the last segment: the tip, or damage that no later frame tells of.
    fn at_tip(&mut self) -> Result<Step> {
        let tip = self.view.tip();
        if self.position < tip {
            if let Some(damage) = self.view.tip_damage() {
                // Nothing stands from here on: more segments than the last may be gone.
                return Err(Error::Damage(Damage { first_lost: self.position, ..damage }));
            }
            // The writer may have published between our look at the segment and at the tip. Only
            // a place further on counts: a segment that lost its frames has a number and no more.
            let is_behind = self.view.segments().last().is_some_and(|last| match &self.place {
                Some(place) if Arc::ptr_eq(&place.segment, last) => {
                    last.extent().is_some_and(|extent| extent.end > place.offset)
                }
                _ => true,
            });
            if is_behind {
                self.place = None;
                return self.step();
            }
            self.position = tip;
        }
        Ok(Step::Tip)
    }

    /// Steps over a fence, or reports it where the position lies in it.
    fn pass(&mut self, fence: Fence) -> Result<()> {
        if self.position < fence.next_readable {
            return Err(self.damage(fence));
        }
        let place = self.place.as_mut().expect("a fence stands in a segment");
        place.offset = fence.resume;
        place.expected = fence.next_readable;
        Ok(())
    }

    fn damage(&self, fence: Fence) -> Error {
        let place = self.place.as_ref().expect("a fence stands in a segment");
        Error::Damage(Damage {
            stream: self.view.stream,
            shard: self.view.shard,
            file: place.segment.path().to_owned(),
            offset: fence.offset,
            first_lost: fence.first_lost.max(self.position),
            next_readable: fence.next_readable,
            found: fence.found,
        })
    }

    /// Numbers are missing before a frame that does not say that this is harmless.
    fn missing(&self, base: SequenceNumber) -> Error {
        let place = self.place.as_ref().expect("a frame stands in a segment");
        Error::Damage(Damage {
            stream: self.view.stream,
            shard: self.view.shard,
            file: place.segment.path().to_owned(),
            offset: place.offset,
            first_lost: self.position,
            next_readable: base,
            found: "sequence numbers are missing before this frame",
        })
    }

    /// Fences off what stands at the place and gives the error for it.
    fn fence(&mut self, fault: Fault, header: Option<FrameHeader>) -> Result<Error> {
        let fence = self.add_fence(fault, header)?;
        Ok(self.damage(fence))
    }

    fn add_fence(&mut self, fault: Fault, header: Option<FrameHeader>) -> Result<Fence> {
        let fence = self.range_of(fault, header)?;
        let segment = &self.place.as_ref().expect("damage stands in a segment").segment;
        if segment.add_fence(fence) {
            self.tell(&fence);
        }
        Ok(fence)
    }

    /// What cannot be read at the place now. It is told of, and not remembered as damage: the
    /// next reader tries again.
    fn unreadable_range(&mut self, header: Option<FrameHeader>) -> Result<Fence> {
        let fence = self.range_of(Fault::Unreadable, header)?;
        let segment = &self.place.as_ref().expect("damage stands in a segment").segment;
        if segment.note_unreadable(fence.offset) {
            self.tell(&fence);
        }
        Ok(fence)
    }

    fn tell(&self, fence: &Fence) {
        let segment = &self.place.as_ref().expect("damage stands in a segment").segment;
        self.view.cache.note_damage();
        tracing::error!(
            file = %segment.path().display(),
            offset = fence.offset,
            first_lost = fence.first_lost.0,
            next_readable = fence.next_readable.0,
            found = fence.found,
            "damage found while reading"
        );
    }

    /// How far what stands at the place reaches, and what is lost with it.
    fn range_of(&mut self, fault: Fault, header: Option<FrameHeader>) -> Result<Fence> {
        let place = self.place.as_mut().expect("damage stands in a segment");
        place.inside = None;
        let place = self.place.as_ref().expect("damage stands in a segment");
        let segment = &place.segment;
        let end = segment.extent().map_or(FRAMES_START, |extent| extent.end);
        let (resume, next_readable) = match header {
            // The header is right, so the next frame stands where it says.
            Some(header) if place.offset + header.frame_bytes() <= end => {
                (place.offset + header.frame_bytes(), header.next())
            }
            _ => match place.resume_behind(end)? {
                Some(found) => found,
                None => (end, self.first_behind(segment)),
            },
        };
        Ok(Fence {
            offset: place.offset,
            resume,
            first_lost: place.expected.min(next_readable),
            next_readable,
            found: fault.describe(),
        })
    }

    /// The first number of the segment behind this one, or the tip.
    fn first_behind(&self, segment: &Segment) -> SequenceNumber {
        let segments = self.view.segments();
        let following = segments.iter().find(|other| other.base() > segment.base());
        following.map_or(self.view.tip(), |following| following.base())
    }

    /// The system would not give bytes that lie below the end: the file was cut from outside, or
    /// something else is wrong with it.
    fn refused(&mut self, error: std::io::Error, header: Option<FrameHeader>) -> Result<Error> {
        match error.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::InvalidInput => self.fence(Fault::Short, header),
            _ => {
                let place = self.place.as_ref().expect("a read is in a segment");
                Err(error).at("read", place.segment.path(), place.offset)
            }
        }
    }
}

/// Why a segment that cannot be opened is lost, be it for now; `None` where the failure says
/// nothing about the segment.
fn reason_of_loss(error: &Error) -> Option<&'static str> {
    match error {
        error if error.is_unreadable() => Some(Fault::Unreadable.describe()),
        Error::Io(failure) => match failure.source.kind() {
            ErrorKind::NotFound => Some("no such file"),
            ErrorKind::IsADirectory => Some("a directory where a segment should be"),
            ErrorKind::InvalidData => Some("no regular file where a segment should be"),
            ErrorKind::PermissionDenied => Some("the system does not let us read the file"),
            _ => None,
        },
        _ => None,
    }
}

/// Length and arrival time of the entry at the start of `bytes`. `None` cannot happen below a
/// right CRC unless another program wrote the file; it is then treated as damage.
fn border(bytes: &[u8]) -> Option<(usize, u64)> {
    let (len, message) = entry(bytes)?;
    Some((len, entry_stamp(message)?.1))
}
