//! io: whether this processor can run the llama.cpp that was built in

/// The instructions that ggml was compiled for (`.cargo/config.toml`) and this processor lacks; `Ok` when there are none.
/// To be asked before the first call into llama.cpp, which would end the process with an illegal instruction.
pub fn check() -> Result<(), UnfitCpu> {
    #[cfg(target_arch = "x86_64")]
    {
        let missing: Vec<&'static str> = [
            ("avx", std::is_x86_feature_detected!("avx")),
            ("avx2", std::is_x86_feature_detected!("avx2")),
            ("fma", std::is_x86_feature_detected!("fma")),
            ("f16c", std::is_x86_feature_detected!("f16c")),
            ("bmi2", std::is_x86_feature_detected!("bmi2")),
        ]
        .into_iter()
        .filter_map(|(name, here)| (!here).then_some(name))
        .collect();
        if missing.is_empty() { Ok(()) } else { Err(UnfitCpu { missing }) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    Err(UnfitCpu { missing: vec!["x86-64"] })
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this processor cannot run the embedded language model: it lacks {}. Any x86-64 of 2015 or later has them (in a virtual \
     machine: pass the host's CPU through). Or point [llm] at any OpenAI-compatible server", missing.join(", ")
)]
pub struct UnfitCpu {
    pub missing: Vec<&'static str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_says_what_is_missing_and_what_to_do() {
        let text = UnfitCpu { missing: vec!["avx2", "fma"] }.to_string();
        assert!(text.contains("lacks avx2, fma") && text.contains("[llm]"), "{text}");
    }
}
