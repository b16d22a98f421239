module attributes {qwen.mesh = [["data"]], qwen.phase = "autodiff"} {
}
