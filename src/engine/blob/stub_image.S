// The stub's executable as data of this program.
        .section .rodata.martlet_stub, "a", @progbits
        .globl  martlet_stub_image, martlet_stub_image_end
        .balign 16
martlet_stub_image:
        .incbin STUB_PATH
martlet_stub_image_end:
        .section .note.GNU-stack, "", @progbits
