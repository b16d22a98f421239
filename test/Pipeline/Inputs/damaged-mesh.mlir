module attributes {qwen.mesh = [["data"]]} {
}
