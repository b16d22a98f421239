module attributes {qwen.mesh = [["data", 1]], qwen.saved_bytes = {}} {
}
