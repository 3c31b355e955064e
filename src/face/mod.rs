//! door: a talking head drawn from one file: lips, animator, portrait
