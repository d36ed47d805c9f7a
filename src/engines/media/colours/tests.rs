//! What is done to profiles, and what is left alone.

use super::*;

fn shown(profile: &ColorProfile, pixels: &[u8]) -> Option<Vec<u8>> {
    let bytes = profile.encode().unwrap();
    let frame = Frame::new(pixels.len() as u32 / 3, 1, pixels.to_vec()).unwrap();
    convert(&[Profile::Icc(bytes.into())], &frame).map(|shown| shown.to_vec())
}

fn convert(profiles: &[Profile<'_>], frame: &Frame) -> Option<Buffer> {
    let work = Work::of_file(8 << 20, None);
    let conversion = Profiles::default().conversion(profiles, &work).unwrap()?;
    conversion.apply(frame, &BufferPool::new(0), &work).unwrap()
}

#[test]
fn what_cameras_and_programs_write_moves_no_tone_far() {
    let profiles = [
        ColorProfile::new_srgb(),
        ColorProfile::new_display_p3(),
        ColorProfile::new_adobe_rgb(),
        ColorProfile::new_pro_photo_rgb(),
        ColorProfile::new_bt2020(),
        ColorProfile::new_gray_with_gamma(2.2),
        ColorProfile::new_gray_with_gamma(1.8),
    ];
    for profile in profiles {
        assert_eq!(shown(&profile, &[9; 6]), None, "{:?}", profile.description);
    }
}

#[test]
fn a_profile_that_shows_another_picture_is_applied() {
    let mut negative = ColorProfile::new_srgb();
    negative.cicp = None;
    let curve = ToneReprCurve::Lut((0..=255_u16).rev().map(|value| value * 257).collect());
    (negative.red_trc, negative.green_trc, negative.blue_trc) = (Some(curve.clone()), Some(curve.clone()), Some(curve.clone()));
    let out = shown(&negative, &[0, 0, 0, 255, 255, 255]).unwrap();
    assert!(out[0] > 250 && out[3] < 5, "{out:?}");
    let mut blue = ColorProfile::new_srgb();
    (blue.cicp, blue.blue_trc) = (None, Some(curve.clone()));
    let out = shown(&blue, &[0, 0, 0, 255, 255, 255]).unwrap();
    assert!(out[0] < 5 && out[1] < 5 && out[2] > 250 && out[3] > 250 && out[5] < 5, "{out:?}");
    let mut grey = ColorProfile::new_gray_with_gamma(2.2);
    grey.gray_trc = Some(curve);
    assert!(shown(&grey, &[0, 0, 0]).unwrap()[0] > 250);
    assert_eq!(shown(&grey, &[0, 0, 9]), None, "a profile of greys on a picture in colour");
    assert_eq!(convert(&[Profile::Icc(b"no profile"[..].into())], &Frame::new(1, 1, vec![0; 3]).unwrap()).map(|_| ()), None);
}

/// What Chromium applies and a stricter reader refuses.
#[test]
fn a_profile_is_read_as_browsers_read_it() {
    let mut negative = ColorProfile::new_srgb();
    negative.cicp = None;
    let curve = ToneReprCurve::Lut((0..=255_u16).rev().map(|value| value * 257).collect());
    (negative.red_trc, negative.green_trc, negative.blue_trc) = (Some(curve.clone()), Some(curve.clone()), Some(curve));
    let sound = negative.encode().unwrap();
    let frame = Frame::new(2, 1, vec![0, 0, 0, 255, 255, 255]).unwrap();
    let convert = |icc: Vec<u8>| convert(&[Profile::Icc(icc.into())], &frame).is_some();
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = sound.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        changed
    };
    assert!(convert(sound.clone()));
    assert!(convert(with(8, &[0; 4])) && convert(with(8, &[1, 0, 0, 0])), "any version");
    assert!(convert(with(12, &[0; 4])) && convert(with(12, b"MNTR")), "any class");
    assert!(convert(with(20, b"Lab ")), "curves lead to XYZ, whatever is said");
    let mut long = sound.clone();
    long.resize(6 << 20, 0);
    assert!(convert(long), "as long as it likes");
    assert!(!convert(with(16, b"CMYK")) && !convert(sound[..200].to_vec()), "none of these is a profile of RGB");
    for cut in (0..sound.len()).step_by(7) {
        convert(sound[..cut].to_vec());
    }
}

/// Seven parts may all be the same megabytes; copied and read apart they would be a multiple of the file.
#[test]
fn parts_that_are_overlong_are_said_and_not_read() {
    let mut icc = vec![0; 132];
    icc[131] = COLOURS_AND_CURVES.len() as u8;
    for name in COLOURS_AND_CURVES {
        icc.extend([name.as_slice(), &216_u32.to_be_bytes(), &(LONGEST_CURVE as u32 + 1).to_be_bytes()].concat());
    }
    icc.resize(216 + LONGEST_CURVE + 1, 1);
    let profile = Profile::Icc(icc.clone().into());
    assert_eq!(profile.unread(), Some("a colour profile of overlong tables"));
    assert!(Conversion::of(&profile).is_none());
    let shorter = icc[..216 + LONGEST_CURVE].to_vec();
    assert_eq!(Profile::Icc(shorter.into()).unread(), None, "parts that reach beyond the profile are none");
}

/// Runs of tones that change places move none of them far.
#[test]
fn a_curve_that_goes_up_and_down_shows_another_picture() {
    let profile = |curve: fn(u16) -> u16| {
        let mut profile = ColorProfile::new_srgb();
        profile.cicp = None;
        let ColorProfile { red_trc: Some(srgb), .. } = ColorProfile::new_srgb() else { panic!("curves") };
        let ToneReprCurve::Parametric(srgb) = srgb else { panic!("a formula") };
        let light = |value: u16| {
            let value = f32::from(value) / 255.0;
            let [g, a, b, c, d, ..] = srgb[..] else { panic!("{srgb:?}") };
            if value >= d { (a * value + b).powf(g) } else { c * value }
        };
        let table = ToneReprCurve::Lut((0..=255).map(|value| (65535.0 * light(curve(value))) as u16).collect());
        (profile.red_trc, profile.green_trc, profile.blue_trc) = (Some(table.clone()), Some(table.clone()), Some(table));
        profile
    };
    let pixels = &[9, 9, 9];
    assert!(shown(&profile(|value| value), pixels).is_none());
    assert!(shown(&profile(|value| value ^ 32), pixels).is_some(), "blocks change places");
    assert!(shown(&profile(|value| value / 64 * 64 + 32), pixels).is_some(), "steps");
    assert!(shown(&profile(|value| value / 16 * 16), pixels).is_some(), "small steps");
    assert!(shown(&profile(|value| if value < 16 { 0 } else { value.max(64) }), pixels).is_some(), "steps in the dark");
}

#[test]
fn the_gamma_of_a_png_is_a_power() {
    let frame = Frame::new(2, 1, vec![255, 255, 255, 240, 240, 240]).unwrap();
    let convert = |gamma, primaries| {
        convert(&[Profile::Icc(b"broken"[..].into()), Profile::Gamma(Some([gamma; 3]), primaries)], &frame).map(|out| out.to_vec())
    };
    assert_eq!(convert(45_455, None), None, "what every program writes");
    let srgb = [31_270, 32_900, 64_000, 33_000, 30_000, 60_000, 15_000, 6_000];
    assert_eq!(convert(45_455, Some(srgb)), None);
    assert_eq!(convert(55_556, None), None, "an old Macintosh");
    let out = convert(2_300, Some(srgb)).unwrap();
    assert!(out[0] > 250, "{out:?}");
    // 255 * (240 / 255) ^ (1 / (2.2 * 0.023)) = 77
    assert!(out[3].abs_diff(77) < 10, "{out:?}");
}
