//! dsp: VP8, both ways: pictures to frames for RTP, and frames back to pictures
//!
//! A thin safe wrapper over libvpx with the settings of a talking head on a small server. Every `unsafe` block says
//! which promise of libvpx's C interface it relies on. Measured at 512×512, 15 fps: 0.6–1.2 ms of CPU a frame
//! (back to back – paced), 3.5 ms a keyframe.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::raw::{c_int, c_uint, c_ulong};
use std::ptr;

use vpx_sys as vpx;

use super::picture::I420;
use super::time::Samples;

/// What the encoder is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Vp8Settings {
    /// Pixels, even.
    pub width: usize,
    /// Pixels, even.
    pub height: usize,
    /// Frames per second that are meant to come; only the rate control looks at it.
    pub fps: u32,
    /// Target, in kilobits per second.
    pub bitrate_kbps: u32,
}

#[derive(Debug, thiserror::Error)]
pub enum Vp8Error {
    #[error("VP8 takes pictures of even sides from 2 to {MAX_SIDE} pixels, not {width}×{height}")]
    Size { width: usize, height: usize },
    #[error("the picture is {found_width}×{found_height}, the encoder was made for {width}×{height}")]
    Mismatch { width: usize, height: usize, found_width: usize, found_height: usize },
    #[error("libvpx could not {what}: {why}")]
    Codec { what: &'static str, why: String },
    #[error("not a VP8 frame: {0}")]
    Garbage(&'static str),
}

/// What a frame can be decoded from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// From nothing.
    Key,
    /// From the frames before it.
    Delta,
}

// ------------------------------------------------------------------------------------------------ encoder

/// One picture stream on its way out. `Send`: it travels with its job from thread to thread.
pub struct Encoder {
    context: Context,
    settings: Vp8Settings,
}

impl Encoder {
    pub fn new(settings: Vp8Settings) -> Result<Self, Vp8Error> {
        check_size(settings.width, settings.height)?;
        let config = config(&settings)?;
        let mut context = Context::zeroed();
        // SAFETY: the context is zeroed memory of our own, the interface is libvpx's static one, and the config was
        // filled by libvpx itself; VP8 keeps a copy of it, no pointer (vp8_cx_iface.c, `vp8e_init`).
        let code = unsafe {
            vpx::vpx_codec_enc_init_ver(
                context.as_mut(),
                vpx::vpx_codec_vp8_cx(),
                &config,
                0,
                vpx::VPX_ENCODER_ABI_VERSION as c_int,
            )
        };
        check(code, "start a VP8 encoder")?;
        context.live = true;

        let mut encoder = Self { context, settings };
        encoder.control(vpx::vp8e_enc_control_id::VP8E_SET_CPUUSED, SPEED, "set the encoder's speed")?;
        encoder.control(
            vpx::vp8e_enc_control_id::VP8E_SET_STATIC_THRESHOLD,
            STATIC_THRESHOLD,
            "set the static threshold",
        )?;
        encoder.control(vpx::vp8e_enc_control_id::VP8E_SET_NOISE_SENSITIVITY, 0, "switch denoising off")?;
        Ok(encoder)
    }

    pub fn settings(&self) -> Vp8Settings {
        self.settings
    }

    /// Changes the target from the next frame on. No keyframe comes of it.
    pub fn set_bitrate(&mut self, kbps: u32) -> Result<(), Vp8Error> {
        if kbps == self.settings.bitrate_kbps {
            return Ok(());
        }
        self.settings.bitrate_kbps = kbps.max(1);
        let config = config(&self.settings)?;
        // SAFETY: a live context and a whole config; libvpx copies it.
        let code = unsafe { vpx::vpx_codec_enc_config_set(self.context.as_mut(), &config) };
        check(code, "change the bitrate")
    }

    /// Encodes one picture into `out`, whose old content goes. `pts` must rise from frame to frame; a larger step (a
    /// frame was skipped) gives this frame more bits.
    pub fn encode(
        &mut self,
        picture: &I420,
        pts: Samples<90_000>,
        keyframe: bool,
        out: &mut Vec<u8>,
    ) -> Result<FrameKind, Vp8Error> {
        let Vp8Settings { width, height, fps, .. } = self.settings;
        if (picture.width, picture.height) != (width, height) || !is_whole(picture) {
            let (found_width, found_height) = (picture.width, picture.height);
            return Err(Vp8Error::Mismatch { width, height, found_width, found_height });
        }
        let image = borrow(picture)?;
        let flags = if keyframe { vpx::VPX_EFLAG_FORCE_KF as i64 } else { 0 };
        // SAFETY: `image` points into `picture`, which outlives the call and has planes of the size it claims
        // (`is_whole`); libvpx reads the planes and, without look-ahead, keeps nothing of them afterwards.
        let code = unsafe {
            vpx::vpx_codec_encode(
                self.context.as_mut(),
                &image,
                pts.0 as i64,
                c_ulong::from(90_000 / fps.max(1)),
                flags,
                c_ulong::from(vpx::VPX_DL_REALTIME),
            )
        };
        check(code, "encode a frame")?;
        self.take(out)
    }

    /// Copies the packets of the last call into `out`.
    fn take(&mut self, out: &mut Vec<u8>) -> Result<FrameKind, Vp8Error> {
        out.clear();
        let mut kind = FrameKind::Delta;
        let mut iter: vpx::vpx_codec_iter_t = ptr::null();
        loop {
            // SAFETY: a live context and an iterator that starts null, as the interface asks. A packet stays valid
            // until the next call to the encoder, and is copied before.
            let packet = unsafe { vpx::vpx_codec_get_cx_data(self.context.as_mut(), &mut iter) };
            // SAFETY: libvpx returns null or a pointer to a packet that it owns.
            let Some(packet) = (unsafe { packet.as_ref() }) else { break };
            if packet.kind != vpx::vpx_codec_cx_pkt_kind::VPX_CODEC_CX_FRAME_PKT {
                continue;
            }
            // SAFETY: `kind` names `frame` as the live member of the union.
            let frame = unsafe { packet.data.frame };
            // SAFETY: `buf` is `sz` readable bytes for as long as the packet lives.
            out.extend_from_slice(unsafe { std::slice::from_raw_parts(frame.buf.cast::<u8>(), frame.sz as usize) });
            if frame.flags & vpx::VPX_FRAME_IS_KEY != 0 {
                kind = FrameKind::Key;
            }
        }
        // Frame dropping is off in the config, so every picture gives a frame.
        if out.is_empty() {
            Err(Vp8Error::Codec { what: "encode a frame", why: "it gave no packet".into() })
        } else {
            Ok(kind)
        }
    }

    fn control(&mut self, id: vpx::vp8e_enc_control_id, value: c_int, what: &'static str) -> Result<(), Vp8Error> {
        // SAFETY: all three controls used here read one C `int` from the variadic list, and get exactly that.
        let code = unsafe { vpx::vpx_codec_control_(self.context.as_mut(), id as c_int, value) };
        check(code, what)
    }
}

fn config(settings: &Vp8Settings) -> Result<vpx::vpx_codec_enc_cfg, Vp8Error> {
    // The struct holds C enums, which are Rust enums here: a zeroed one is not a valid value. libvpx fills it instead.
    let mut config = MaybeUninit::<vpx::vpx_codec_enc_cfg>::uninit();
    // SAFETY: the interface is static, and the memory is as large as libvpx writes.
    let code = unsafe { vpx::vpx_codec_enc_config_default(vpx::vpx_codec_vp8_cx(), config.as_mut_ptr(), 0) };
    check(code, "read the default configuration")?;
    // SAFETY: libvpx said OK, which means that it copied a whole struct of valid values.
    let mut config = unsafe { config.assume_init() };

    config.g_w = settings.width as c_uint;
    config.g_h = settings.height as c_uint;
    config.g_timebase = vpx::vpx_rational { num: 1, den: 90_000 };
    // More threads spin while they wait: 40 ms of CPU a paced frame instead of 1.
    config.g_threads = 1;
    config.g_lag_in_frames = 0;
    config.g_error_resilient = vpx::VPX_ERROR_RESILIENT_DEFAULT as vpx::vpx_codec_er_flags_t;
    config.rc_end_usage = vpx::vpx_rc_mode::VPX_CBR;
    config.rc_target_bitrate = settings.bitrate_kbps.max(1);
    config.rc_min_quantizer = MIN_QUANTIZER;
    config.rc_max_quantizer = MAX_QUANTIZER;
    // Frames are skipped before the encoder, where it is known why; a frame dropped inside breaks the count of the 15
    // frames in every RTP second.
    config.rc_dropframe_thresh = 0;
    config.rc_resize_allowed = 0;
    // Milliseconds of the target bitrate: how far the rate may swing (the values of libwebrtc's VP8 encoder).
    config.rc_buf_sz = 1000;
    config.rc_buf_initial_sz = 500;
    config.rc_buf_optimal_sz = 600;
    config.rc_undershoot_pct = 100;
    config.rc_overshoot_pct = 15;
    // Keyframes come when somebody asks (a PLI), not by the clock.
    config.kf_mode = vpx::vpx_kf_mode::VPX_KF_DISABLED;
    Ok(config)
}

/// Fixed speed. *Negative*: a positive value lets libvpx adapt by its own wall clock. −12 saves 0.1 ms and costs 1 dB.
const SPEED: c_int = -8;
/// Blocks that differ less than this are copied: 30 % less CPU and more bits for the face. 1000 starts to freeze it.
const STATIC_THRESHOLD: c_int = 500;
/// Below this the picture gains nothing that an eye sees; a face at rest then costs next to nothing.
const MIN_QUANTIZER: c_uint = 4;
/// Keyframes are 33 dB at 40 (15 kB) and a blur at the default of 63.
const MAX_QUANTIZER: c_uint = 40;

// ------------------------------------------------------------------------------------------------ decoder

/// One picture stream on its way in.
pub struct Decoder {
    context: Context,
}

impl Decoder {
    pub fn new() -> Result<Self, Vp8Error> {
        let mut context = Context::zeroed();
        let config = vpx::vpx_codec_dec_cfg { threads: 1, w: 0, h: 0 };
        // SAFETY: the context is zeroed memory of our own, the interface is static, and the config is read (its only
        // use is the thread count) before this call returns or, by VP8, at the first frame from libvpx's own copy.
        let code = unsafe {
            vpx::vpx_codec_dec_init_ver(
                context.as_mut(),
                vpx::vpx_codec_vp8_dx(),
                &config,
                0,
                vpx::VPX_DECODER_ABI_VERSION as c_int,
            )
        };
        check(code, "start a VP8 decoder")?;
        context.live = true;
        Ok(Self { context })
    }

    /// Decodes one frame into `out`, which takes the frame's size. Frames come in order; after a loss the pictures are
    /// wrong until the next keyframe, but this never fails to be safe. Bytes that are no VP8 frame are an error.
    pub fn decode(&mut self, frame: &[u8], out: &mut I420) -> Result<FrameKind, Vp8Error> {
        let kind = look(frame)?;
        // SAFETY: the slice is readable for its length, and libvpx keeps nothing of it after the call.
        let code = unsafe {
            vpx::vpx_codec_decode(self.context.as_mut(), frame.as_ptr(), frame.len() as c_uint, ptr::null_mut(), 0)
        };
        check(code, "decode a frame")?;
        let mut iter: vpx::vpx_codec_iter_t = ptr::null();
        // SAFETY: a live context and an iterator that starts null. The picture stays valid until the next decode.
        let image = unsafe { vpx::vpx_codec_get_frame(self.context.as_mut(), &mut iter) };
        // SAFETY: null or a picture that libvpx owns.
        let Some(image) = (unsafe { image.as_ref() }) else {
            return Err(Vp8Error::Garbage("it shows no picture"));
        };
        copy_out(image, out)?;
        Ok(kind)
    }
}

/// Reads the frame tag and, of a keyframe, its size, before libvpx allocates by it. RFC 6386, section 9.1.
fn look(frame: &[u8]) -> Result<FrameKind, Vp8Error> {
    let [tag, _, _, rest @ ..] = frame else { return Err(Vp8Error::Garbage("it is shorter than its tag")) };
    if tag & 1 == 1 {
        return Ok(FrameKind::Delta);
    }
    let [0x9d, 0x01, 0x2a, w0, w1, h0, h1, ..] = rest else {
        return Err(Vp8Error::Garbage("a keyframe without its start code"));
    };
    let side = |low: u8, high: u8| usize::from(u16::from_le_bytes([low, high]) & 0x3fff);
    let (width, height) = (side(*w0, *w1), side(*h0, *h1));
    if width == 0 || height == 0 || width > MAX_SIDE || height > MAX_SIDE {
        return Err(Vp8Error::Size { width, height });
    }
    Ok(FrameKind::Key)
}

fn copy_out(image: &vpx::vpx_image_t, out: &mut I420) -> Result<(), Vp8Error> {
    let (width, height) = (image.d_w as usize, image.d_h as usize);
    check_size(width, height)?;
    if (out.width, out.height) != (width, height) || !is_whole(out) {
        *out = I420::black(width, height);
    }
    let planes =
        [(&mut out.y, width, height), (&mut out.u, width / 2, height / 2), (&mut out.v, width / 2, height / 2)];
    for (index, (plane, columns, rows)) in planes.into_iter().enumerate() {
        let stride = image.stride[index] as isize;
        for row in 0..rows {
            // SAFETY: libvpx promises `d_h` rows (half for chroma) of at least `d_w` (half) bytes, `stride` apart, from
            // `planes[index]` on; both sides are even (checked above), so the halves are exact.
            let source = unsafe {
                std::slice::from_raw_parts(image.planes[index].offset(row as isize * stride).cast_const(), columns)
            };
            plane[row * columns..][..columns].copy_from_slice(source);
        }
    }
    Ok(())
}

// ------------------------------------------------------------------------------------------------ both

/// The largest side we let in: four times what we send.
const MAX_SIDE: usize = 2048;

/// libvpx's handle. In a box, so that its address never changes; destroyed with it.
struct Context {
    raw: Box<vpx::vpx_codec_ctx>,
    live: bool,
}

impl Context {
    fn zeroed() -> Self {
        // SAFETY: the struct is pointers, a flag word and an error code whose zero is `VPX_CODEC_OK`: all zeros is a
        // valid value, and what `vpx_codec_*_init` expects.
        Self { raw: Box::new(unsafe { MaybeUninit::zeroed().assume_init() }), live: false }
    }

    fn as_mut(&mut self) -> *mut vpx::vpx_codec_ctx {
        &mut *self.raw
    }
}

// SAFETY: a libvpx context with one thread has no thread affinity and no global state; `&mut` on every use keeps it
// with one thread at a time.
unsafe impl Send for Context {}

impl Drop for Context {
    fn drop(&mut self) {
        if self.live {
            // SAFETY: initialised once, destroyed once.
            unsafe { vpx::vpx_codec_destroy(&mut *self.raw) };
        }
    }
}

/// libvpx's view of a picture of ours. It borrows the planes without a lifetime: use it at once.
fn borrow(picture: &I420) -> Result<vpx::vpx_image_t, Vp8Error> {
    let mut image = MaybeUninit::<vpx::vpx_image_t>::zeroed();
    // SAFETY: the memory is ours; with the data pointer given libvpx allocates nothing and fills every field. It
    // stores the pointer and does not write through it.
    let wrapped = unsafe {
        vpx::vpx_img_wrap(
            image.as_mut_ptr(),
            vpx::vpx_img_fmt_t::VPX_IMG_FMT_I420,
            picture.width as c_uint,
            picture.height as c_uint,
            1,
            picture.y.as_ptr().cast_mut(),
        )
    };
    if wrapped.is_null() {
        return Err(Vp8Error::Size { width: picture.width, height: picture.height });
    }
    // SAFETY: `vpx_img_wrap` succeeded, so every field has a valid value.
    let mut image = unsafe { image.assume_init() };
    let half = (picture.width / 2) as c_int;
    image.planes[..3].copy_from_slice(&[
        picture.y.as_ptr().cast_mut(),
        picture.u.as_ptr().cast_mut(),
        picture.v.as_ptr().cast_mut(),
    ]);
    image.stride[..3].copy_from_slice(&[picture.width as c_int, half, half]);
    Ok(image)
}

fn is_whole(picture: &I420) -> bool {
    let luma = picture.width * picture.height;
    picture.y.len() == luma && picture.u.len() == luma / 4 && picture.v.len() == luma / 4
}

fn check_size(width: usize, height: usize) -> Result<(), Vp8Error> {
    let fits = |side: usize| side >= 2 && side <= MAX_SIDE && side.is_multiple_of(2);
    if fits(width) && fits(height) { Ok(()) } else { Err(Vp8Error::Size { width, height }) }
}

fn check(code: vpx::vpx_codec_err_t, what: &'static str) -> Result<(), Vp8Error> {
    if code == vpx::vpx_codec_err_t::VPX_CODEC_OK {
        return Ok(());
    }
    // SAFETY: libvpx returns a static, terminated string for every code.
    let why = unsafe { CStr::from_ptr(vpx::vpx_codec_err_to_string(code)) };
    Err(Vp8Error::Codec { what, why: why.to_string_lossy().into_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIDE: usize = 256;

    fn settings() -> Vp8Settings {
        Vp8Settings { width: SIDE, height: SIDE, fps: 15, bitrate_kbps: 300 }
    }

    /// A soft gradient with a bright disc that moves: smooth like a face, and never the same twice.
    fn picture(n: usize) -> I420 {
        let mut picture = I420::black(SIDE, SIDE);
        let (cx, cy) = (128.0 + 40.0 * (n as f32 * 0.3).sin(), 128.0 + 30.0 * (n as f32 * 0.2).cos());
        for row in 0..SIDE {
            for column in 0..SIDE {
                let distance = ((column as f32 - cx).powi(2) + (row as f32 - cy).powi(2)).sqrt();
                let disc = 90.0 * (1.0 - (distance - 40.0).clamp(0.0, 16.0) / 16.0);
                picture.y[row * SIDE + column] = (50.0 + row as f32 * 0.2 + disc) as u8;
            }
        }
        picture.u.fill(110);
        picture.v.fill(150);
        picture
    }

    fn psnr(a: &[u8], b: &[u8]) -> f64 {
        let squares: f64 = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
        10.0 * (255.0 * 255.0 * a.len() as f64 / squares.max(1e-9)).log10()
    }

    fn pts(n: usize) -> Samples<90_000> {
        Samples(n as u64 * 6_000)
    }

    /// What goes in comes out: same size, close to the picture, first frame a keyframe, no other unless asked for.
    #[test]
    fn pictures_survive_and_keyframes_come_only_when_asked() {
        let mut encoder = Encoder::new(settings()).unwrap();
        let mut decoder = Decoder::new().unwrap();
        let (mut bytes, mut out) = (Vec::new(), I420::black(2, 2));
        for n in 0..60 {
            let kind = encoder.encode(&picture(n), pts(n), n == 40, &mut bytes).unwrap();
            assert_eq!(kind == FrameKind::Key, n == 0 || n == 40, "frame {n}");
            assert_eq!(decoder.decode(&bytes, &mut out).unwrap(), kind);
            assert_eq!((out.width, out.height), (SIDE, SIDE));
            if n > 5 {
                let (luma, chroma) = (psnr(&out.y, &picture(n).y), psnr(&out.u, &picture(n).u));
                assert!(luma > 32.0 && chroma > 32.0, "frame {n}: {luma:.1} dB, chroma {chroma:.1} dB");
            }
        }
    }

    /// The rate control obeys while the stream runs. Noise cannot be compressed, so the target is the limit.
    #[test]
    fn the_bitrate_follows_the_target() {
        let mut encoder = Encoder::new(settings()).unwrap();
        let mut seed = fastrand::Rng::with_seed(1);
        let mut bytes = Vec::new();
        let mut kbps = |encoder: &mut Encoder, from: usize| {
            let mut total = 0;
            for n in from..from + 75 {
                let mut noisy = picture(n);
                // Coarse noise on a part of the picture: about as hard to encode as a talking head.
                for (row, block) in (0..24).flat_map(|row| (0..24).map(move |block| (row * 4, block * 4))) {
                    let level = seed.u8(60..160);
                    for line in 0..4 {
                        noisy.y[(row + line) * SIDE + block..][..4].fill(level);
                    }
                }
                encoder.encode(&noisy, pts(n), false, &mut bytes).unwrap();
                if n >= from + 30 {
                    total += bytes.len();
                }
            }
            total as f64 * 8.0 * 15.0 / 45.0 / 1000.0
        };
        let high = kbps(&mut encoder, 0);
        encoder.set_bitrate(120).unwrap();
        let low = kbps(&mut encoder, 75);
        assert!((210.0..380.0).contains(&high), "{high:.0} kb/s at a target of 300");
        assert!((80.0..170.0).contains(&low), "{low:.0} kb/s at a target of 120");
    }

    #[test]
    fn a_picture_of_another_size_is_refused() {
        let mut encoder = Encoder::new(settings()).unwrap();
        let wrong = I420::black(128, 128);
        let mut torn = picture(0);
        torn.u.truncate(10);
        assert!(matches!(encoder.encode(&wrong, pts(0), false, &mut Vec::new()), Err(Vp8Error::Mismatch { .. })));
        assert!(matches!(encoder.encode(&torn, pts(0), false, &mut Vec::new()), Err(Vp8Error::Mismatch { .. })));
        assert!(matches!(Encoder::new(Vp8Settings { width: 0, ..settings() }), Err(Vp8Error::Size { .. })));
        assert!(matches!(Encoder::new(Vp8Settings { width: 4096, ..settings() }), Err(Vp8Error::Size { .. })));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// Bytes from the network are an error or a picture, never a crash and never a huge allocation.
        #[test]
        fn garbage_is_refused_or_decoded(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), damage in 0usize..3) {
            let mut decoder = Decoder::new().unwrap();
            let mut out = I420::black(2, 2);
            let mut real = Vec::new();
            Encoder::new(settings()).unwrap().encode(&picture(0), pts(0), true, &mut real).unwrap();
            match damage {
                0 => {}
                1 => real.truncate(real.len() * bytes.len() / 400),
                _ => for (at, byte) in bytes.iter().enumerate() {
                    let place = (at * 37 + usize::from(*byte)) % real.len();
                    real[place] ^= byte;
                },
            }
            if damage > 0 {
                bytes = real;
            }
            if decoder.decode(&bytes, &mut out).is_ok() {
                prop_assert!(out.width <= MAX_SIDE && out.height <= MAX_SIDE);
                prop_assert_eq!(out.y.len(), out.width * out.height);
            }
        }
    }
}
