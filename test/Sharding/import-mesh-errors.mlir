// REQUIRES: qwen-opt
// RUN: qwen-opt %s --import-mesh --split-input-file --verify-diagnostics

// expected-error @below {{meshes of more than one device are not supported yet, got tensor=2 [Q2201]}}
module attributes {qwen.mesh = [["data", 1], ["tensor", 2]]} {
}

// -----

// expected-error @below {{duplicate mesh axis: "data"}}
module attributes {qwen.mesh = [["data", 1], ["data", 1]]} {
}

// -----

// expected-error @below {{expected mesh axis "data" to have at least one device, got 0}}
module attributes {qwen.mesh = [["data", 0]]} {
}

// -----

// expected-error @below {{expected a mesh axis as [name, size], got ["data"]}}
module attributes {qwen.mesh = [["data"]]} {
}

// -----

// expected-error @below {{expected a mesh in the attribute qwen.mesh}}
module attributes {qwen.mesh = "data"} {
}
