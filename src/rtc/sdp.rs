//! core: an untrusted offer is checked before the stack reads it, and its answer is put right before the browser does
//!
//! The offer: bounded in every direction, and a voice call. The answer: one media stream for both tracks. The stack gives
//! each m-line a stream of its own (the microphone's id echoed, else random), and a browser keeps lips and voice together
//! only within one stream (RFC 8830).

use super::identity::RtcError;

/// Chromium's offer for a call like ours has 6–8 kB.
const MAX_BYTES: usize = 64 * 1024;
const MAX_MEDIA: usize = 8;
const MAX_CANDIDATES: usize = 64;

/// The one stream of both our tracks.
const STREAM: &str = "visavis";

/// What of the offer the endpoint uses: the mids of the first Opus audio section and the first VP8 video section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offered {
    pub(super) audio: String,
    pub(super) video: Option<String>,
}

/// Refuses what would be costly to parse or cannot become a voice call.
pub(super) fn check_offer(sdp: &str) -> Result<Offered, RtcError> {
    check_size(sdp)?;
    let sections = sections(sdp);
    let wanted = |kind: &str, codec: &str| {
        sections.iter().find(|s| s.kind() == kind && !s.is_rejected() && s.has_codec(codec)).and_then(|s| s.mid())
    };
    if !sections.iter().any(|s| s.kind() == "audio" && !s.is_rejected()) {
        return Err(RtcError::NoAudio);
    }
    let audio = wanted("audio", "opus/48000").ok_or(RtcError::NoOpus)?.to_owned();
    let video = wanted("video", "vp8/90000").map(str::to_owned);
    Ok(Offered { audio, video })
}

/// The bounds alone: for an answer as well.
pub(super) fn check_size(sdp: &str) -> Result<(), RtcError> {
    if sdp.len() > MAX_BYTES {
        return Err(RtcError::TooLarge { bytes: sdp.len(), limit: MAX_BYTES });
    }
    let count = |prefix: &str| sdp.lines().filter(|line| line.starts_with(prefix)).count();
    for (what, prefix, limit) in
        [("media sections", "m=", MAX_MEDIA), ("ICE candidates", "a=candidate:", MAX_CANDIDATES)]
    {
        let found = count(prefix);
        if found > limit {
            return Err(RtcError::TooMany { what, found, limit });
        }
    }
    Ok(())
}

/// Puts both tracks into one stream; makes our face one-way (a camera would be sent for nobody); leaves every further
/// section inactive.
pub(super) fn finish_answer(sdp: &str, offered: &Offered) -> String {
    let mut out = String::with_capacity(sdp.len() + 64);
    let mut put = |line: &str| {
        out.push_str(line);
        out.push_str("\r\n");
    };
    for line in sdp.lines().take_while(|line| !line.starts_with("m=")) {
        match line.strip_prefix("a=msid-semantic:") {
            Some(_) => put(&format!("a=msid-semantic: WMS {STREAM}")),
            None => put(line),
        }
    }
    for section in sections(sdp) {
        let mid = section.mid().unwrap_or_default();
        let is_video = offered.video.as_deref() == Some(mid);
        let is_ours = is_video || mid == offered.audio || section.kind() == "application";
        for line in section.lines() {
            match line {
                _ if line.starts_with("a=msid:") && is_ours => {
                    put(&format!("a=msid:{STREAM} {STREAM}-{}", section.kind()))
                }
                _ if line.starts_with("a=msid:") => {}
                _ if line.starts_with("a=ssrc:") && line.contains(" msid:") => {}
                "a=sendrecv" if is_video => put("a=sendonly"),
                "a=sendrecv" | "a=sendonly" | "a=recvonly" if !is_ours => put("a=inactive"),
                _ => put(line),
            }
        }
    }
    out
}

/// One m-line with its attributes.
struct Section<'a>(&'a str);

fn sections(sdp: &str) -> Vec<Section<'_>> {
    let starts: Vec<usize> =
        sdp.match_indices("m=").map(|(at, _)| at).filter(|&at| at == 0 || sdp.as_bytes()[at - 1] == b'\n').collect();
    let ends = starts.iter().skip(1).copied().chain([sdp.len()]);
    starts.iter().zip(ends).map(|(&start, end)| Section(&sdp[start..end])).collect()
}

impl<'a> Section<'a> {
    fn lines(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.0.lines()
    }

    fn kind(&self) -> &'a str {
        self.0[2..].split_whitespace().next().unwrap_or_default()
    }

    /// Port 0 (RFC 8843, section 7.2), but for those bundled with another.
    fn is_rejected(&self) -> bool {
        self.0[2..].split_whitespace().nth(1) == Some("0") && !self.lines().any(|line| line == "a=bundle-only")
    }

    fn mid(&self) -> Option<&'a str> {
        self.lines().find_map(|line| line.strip_prefix("a=mid:")).map(str::trim)
    }

    /// Whether an `a=rtpmap` names `codec` (lower case, with its clock).
    fn has_codec(&self, codec: &str) -> bool {
        self.lines()
            .filter_map(|line| line.strip_prefix("a=rtpmap:"))
            .filter_map(|map| map.split_whitespace().nth(1))
            .any(|name| name.get(..codec.len()).is_some_and(|start| start.eq_ignore_ascii_case(codec)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "v=0\r\na=msid-semantic: WMS x y\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=sendrecv\r\na=msid:x a1\r\n\
        a=ssrc:1 cname:c\r\na=ssrc:1 msid:x a1\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\na=sendrecv\r\na=msid:y v1\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:2\r\na=sendonly\r\na=msid:z v2\r\n";

    #[test]
    fn both_tracks_share_one_stream() {
        let offered = Offered { audio: "0".into(), video: Some("1".into()) };
        let answer = finish_answer(ANSWER, &offered);
        assert_eq!(
            answer,
            "v=0\r\na=msid-semantic: WMS visavis\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=sendrecv\r\n\
             a=msid:visavis visavis-audio\r\na=ssrc:1 cname:c\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\na=sendonly\r\n\
             a=msid:visavis visavis-video\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:2\r\na=inactive\r\n"
        );
    }

    #[test]
    fn offers_are_bounded_and_must_speak() {
        let audio = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=rtpmap:111 OPUS/48000/2\r\n";
        assert_eq!(check_offer(audio), Ok(Offered { audio: "0".into(), video: None }));
        let table = [
            ("x".repeat(MAX_BYTES + 1), RtcError::TooLarge { bytes: MAX_BYTES + 1, limit: MAX_BYTES }),
            (audio.repeat(9), RtcError::TooMany { what: "media sections", found: 9, limit: 8 }),
            (
                format!("{audio}{}", "a=candidate:x\r\n".repeat(65)),
                RtcError::TooMany { what: "ICE candidates", found: 65, limit: 64 },
            ),
            (String::new(), RtcError::NoAudio),
            (audio.replace("audio 9", "audio 0"), RtcError::NoAudio),
            (audio.replace("m=audio", "m=video"), RtcError::NoAudio),
            (audio.replace("OPUS", "PCMU"), RtcError::NoOpus),
            (audio.replace("a=mid:0\r\n", ""), RtcError::NoOpus),
        ];
        for (sdp, error) in table {
            assert_eq!(check_offer(&sdp), Err(error), "{sdp:.200}");
        }
    }
}
