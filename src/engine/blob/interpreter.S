// The only Martlet code that runs inside a target: it performs a list of system calls.
//
// Position independent; uses no stack and no memory but the list. On entry:
//   rbx  first operation         r13  number of operations
//   r15  the closing operation   r14  a signal frame to return through afterwards
// An operation is twelve words (struct Operation in program.cc):
//   0 number, 8..48 six arguments, 56 result, 64 flags (1: go on after an error),
//   72 address of a word to pass on (0: none), 80 byte offset in the operation where it goes.
// The closing operation sends a signal that the tracer intercepts, which is how it learns of the end.
// If the tracer is gone, that signal is ignored and the task returns through the signal frame to what
// it did before.

        .section .rodata.martlet_interpreter, "a", @progbits
        .globl  martlet_interpreter, martlet_interpreter_end
        .balign 16

        .macro perform
        mov     (%rbx), %rax
        mov     8(%rbx), %rdi
        mov     16(%rbx), %rsi
        mov     24(%rbx), %rdx
        mov     32(%rbx), %r10
        mov     40(%rbx), %r8
        mov     48(%rbx), %r9
        syscall
        .endm

martlet_interpreter:
next:   test    %r13, %r13
        jz      close
        mov     72(%rbx), %rax
        test    %rax, %rax
        jz      1f
        mov     (%rax), %rax
        mov     80(%rbx), %rcx
        mov     %rax, (%rbx,%rcx)
1:      perform
        mov     %rax, 56(%rbx)
        cmp     $-4095, %rax
        jb      2f
        testb   $1, 64(%rbx)
        jz      close
2:      add     $96, %rbx
        dec     %r13
        jmp     next
close:  mov     %r15, %rbx
        perform
        mov     %r14, %rsp
        mov     $15, %eax
        syscall
        ud2
martlet_interpreter_end:

        .section .note.GNU-stack, "", @progbits
