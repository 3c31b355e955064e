//! task: pictures become VP8 frames on the pool
//!
//! [`Shutter`] decides, this encodes. The encoder travels with its job by value; one picture at a time, so that frames
//! keep their order.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::shutter::{Bitrates, Exposure, Shutter};
use crate::agent::flow::{Image, Picture};
use crate::media::picture::I420;
use crate::media::time::MediaTime;
use crate::media::vp8::{Encoder, FrameKind, Vp8Error, Vp8Settings};
use crate::metrics::{Codec, Guard, Metrics, Object};
use crate::runtime::clock;
use crate::runtime::pool::{Class, Pool, PoolError};

/// One call's video stream on its way out.
pub struct Film {
    shutter: Shutter,
    /// Away while a job runs. Made with the first picture, whose size it takes.
    camera: Option<Box<Camera>>,
    bitrates: Bitrates,
    fps: u32,
    pool: Pool,
    metrics: Metrics,
}

/// One VP8 frame to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct EncodedFrame {
    /// When it is to be shown, on the clock of the sound.
    pub media_time: MediaTime,
    pub vp8: Bytes,
    pub keyframe: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum FilmError {
    #[error("encoding a picture: {0}")]
    Codec(#[from] Vp8Error),
    #[error("encoding a picture on the pool: {0}")]
    Pool(#[from] PoolError),
}

struct Camera {
    encoder: Encoder,
    /// Of the last frame; its memory is used again.
    bytes: Vec<u8>,
    _alive: Guard,
}

impl Film {
    /// `fps` is the rate that pictures are meant to come at.
    pub fn new(bitrates: Bitrates, fps: u32, pool: Pool, metrics: Metrics) -> Self {
        Self { shutter: Shutter::new(bitrates), camera: None, bitrates, fps: fps.max(1), pool, metrics }
    }

    /// A viewer lost the picture (PLI or FIR): the next picture that may be one is a keyframe.
    pub fn keyframe_wanted(&mut self) {
        self.shutter.keyframe_wanted();
    }

    /// What the path carries now, and how much of it the sound takes, in bits per second.
    pub fn estimated(&mut self, path_bps: u64, audio_bps: u64) {
        self.shutter.estimated(path_bps, audio_bps);
    }

    /// How many bytes of video wait to be sent.
    pub fn backlog(&mut self, bytes: usize) {
        self.shutter.backlog(bytes);
    }

    /// Encodes the picture, or skips it (`None`) because of a backlog. Not cancel safe: run it to its end, or lose the
    /// encoder (the next call then makes a new one, which begins with a keyframe).
    pub async fn encode(&mut self, picture: Picture) -> Result<Option<EncodedFrame>, FilmError> {
        let Picture { media_time, image } = picture;
        let raw = match image {
            // A worker encoded it; skipping here would break its stream.
            Image::Encoded { vp8, keyframe } => return Ok(Some(EncodedFrame { media_time, vp8, keyframe })),
            Image::Raw(raw) => raw,
        };
        let Some(exposure) = self.shutter.decide(media_time) else {
            self.metrics.picture_skipped();
            return Ok(None);
        };
        let camera = match self.camera.take() {
            Some(camera) if camera.fits(&raw) => camera,
            _ => Box::new(Camera::new(&raw, self.fps, self.bitrates.start_kbps, &self.metrics)?),
        };
        let period = Duration::from_secs(1) / self.fps;
        let metrics = self.metrics.clone();
        let job = move || {
            let began = clock::now();
            let encoded = camera.shoot(&raw, media_time, exposure);
            metrics.encoded(Codec::Vp8, clock::now() - began, period);
            encoded
        };
        let (camera, vp8, kind) = self.pool.run(Class::Picture, period, job).await??;
        self.camera = Some(camera);
        Ok(Some(EncodedFrame { media_time, vp8, keyframe: kind == FrameKind::Key }))
    }
}

impl Camera {
    fn new(picture: &Arc<I420>, fps: u32, bitrate_kbps: u32, metrics: &Metrics) -> Result<Self, Vp8Error> {
        let settings = Vp8Settings { width: picture.width, height: picture.height, fps, bitrate_kbps };
        let encoder = Encoder::new(settings)?;
        Ok(Self { encoder, bytes: Vec::with_capacity(32 * 1024), _alive: metrics.live(Object::Vp8Encoder) })
    }

    fn fits(&self, picture: &I420) -> bool {
        let settings = self.encoder.settings();
        (settings.width, settings.height) == (picture.width, picture.height)
    }

    fn shoot(
        mut self: Box<Self>,
        picture: &I420,
        media_time: MediaTime,
        exposure: Exposure,
    ) -> Result<(Box<Self>, Bytes, FrameKind), Vp8Error> {
        self.encoder.set_bitrate(exposure.kbps)?;
        let kind = self.encoder.encode(picture, media_time.at_rate(), exposure.keyframe, &mut self.bytes)?;
        let vp8 = Bytes::copy_from_slice(&self.bytes);
        Ok((self, vp8, kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::time::Samples;
    use crate::media::vp8::Decoder;

    fn picture(frame: u64, side: usize) -> Picture {
        let mut image = I420::black(side, side);
        for (at, pixel) in image.y.iter_mut().enumerate() {
            *pixel = 60 + ((at % side + frame as usize * 3) % 64) as u8;
        }
        Picture { media_time: Samples(frame * 1_600), image: Image::Raw(Arc::new(image)) }
    }

    /// Frames come out in order and decode; a request gives a keyframe; a backlog skips before the encoder, so that what
    /// follows still decodes; a face of another size begins a new stream with a keyframe.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn pictures_become_a_stream_that_decodes() {
        let metrics = Metrics::new();
        let mut film = Film::new(Bitrates::default(), 15, Pool::new(2, metrics.clone()), metrics.clone());
        let mut decoder = Decoder::new().unwrap();
        let mut shown = I420::black(2, 2);
        let mut keys = vec![];
        for frame in 0..50 {
            match frame {
                20 => film.keyframe_wanted(),
                30 => film.backlog(1_000_000),
                33 => film.backlog(0),
                _ => {}
            }
            let side = if frame < 40 { 128 } else { 64 };
            let encoded = film.encode(picture(frame, side)).await.unwrap();
            assert_eq!(encoded.is_none(), (30..33).contains(&frame));
            let Some(encoded) = encoded else { continue };
            assert_eq!(encoded.media_time, Samples(frame * 1_600));
            decoder.decode(&encoded.vp8, &mut shown).unwrap();
            assert_eq!(shown.width, side);
            if encoded.keyframe {
                keys.push(frame);
            }
        }
        assert_eq!(keys, [0, 20, 40]);
        assert!(metrics.render().contains("visavis_encode_seconds_total{codec=\"vp8\"}"));
    }

    /// What a worker has encoded goes through untouched.
    #[tokio::test]
    async fn an_encoded_picture_passes() {
        let metrics = Metrics::new();
        let mut film = Film::new(Bitrates::default(), 15, Pool::new(1, metrics.clone()), metrics);
        let vp8 = Bytes::from_static(&[1, 2, 3]);
        let image = Image::Encoded { vp8: vp8.clone(), keyframe: true };
        let encoded = film.encode(Picture { media_time: Samples(7), image }).await.unwrap();
        assert_eq!(encoded, Some(EncodedFrame { media_time: Samples(7), vp8, keyframe: true }));
    }
}
