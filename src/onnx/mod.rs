//! door: finds ONNX Runtime, keeps its one environment, and runs the small models that hearing needs
