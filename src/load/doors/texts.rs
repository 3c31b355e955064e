//! data: what is asked of engines that take text

/// To be spoken: everyday answers of 8 to 33 words, with what makes speech hard: numbers, names, abbreviations, questions.
pub(super) const TO_SPEAK: [&str; 8] = [
    "Of course. The next train leaves at a quarter past nine from platform four.",
    "I am sorry to hear that. Would you like me to look for another day, or shall we leave it as it is for now?",
    "The parcel weighs 3 kilograms, so it costs 12 euros and 50 cents to send it to Denmark.",
    "Let me think about that for a moment.",
    "Dr. Miller is in the house on Tuesdays and Thursdays; on all other days you can reach her by telephone between ten \
     and twelve in the morning, and her assistant takes messages.",
    "Yes, that is right, and it has been like that since 1998.",
    "First put the water on, then cut the onions, and only when both are done should you open the tin of tomatoes.",
    "Thank you for calling. Is there anything else that I can do for you today?",
];

/// Who answers.
pub(super) const PERSONA: &str =
    "You are a friendly voice assistant on a phone call. Answer in one or two short sentences.";

/// To be answered.
pub(super) const TO_ANSWER: [&str; 8] = [
    "Hi, how are you doing today?",
    "What can I cook for dinner with eggs, rice and a few carrots?",
    "Can you tell me why the sky is blue?",
    "I need a present for my sister, who likes old maps. What would you give her?",
    "How do I get a red wine stain out of a white shirt?",
    "What is the capital of Portugal, and what is it known for?",
    "Please tell me a very short story about a clock.",
    "Should I bring an umbrella when there are clouds in the morning?",
];
