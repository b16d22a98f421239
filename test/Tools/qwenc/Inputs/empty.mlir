module attributes {qwen.mesh = [["data", 1]], qwen.phase = "remat", qwen.saved_bytes = {}} {
}
