# A shared object that holds a manifest and the query symbol: a seed.
  .section .qwen.manifest,"",@progbits
  .ascii "{\"format\": 1, \"abi\": 1, \"name\": \"seed\"}"
  .text
  .globl qwen_module_query
  .type qwen_module_query, @function
qwen_module_query:
  xorl %eax, %eax
  ret
  .size qwen_module_query, .-qwen_module_query
