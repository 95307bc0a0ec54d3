# A layer is a folder below src/ with its own static library. Its headers are included as
# "layer/file.h"; `tools/check_layers.py` fails on an include that goes upward.
#
# martlet_layer(name DEPENDS targets...): every *.cc of the folder, tests apart, becomes
# martlet_<name>; every *_test.cc becomes part of the test program <name>_test, which ctest runs
# under the label "unit".
function(martlet_layer name)
  cmake_parse_arguments(ARG "" "" "DEPENDS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  list(FILTER sources EXCLUDE REGEX "(_test|main)\\.cc$")
  if(NOT sources)  # a layer may be headers only, or get its sources from martlet_protobuf()
    set(sources ${CMAKE_BINARY_DIR}/generated/no_sources.cc)
    file(CONFIGURE OUTPUT ${sources} CONTENT "// This layer has no sources of its own.\n")
  endif()
  add_library(martlet_${name} STATIC ${sources})
  target_include_directories(martlet_${name} PUBLIC ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(martlet_${name} PUBLIC ${ARG_DEPENDS})
  if(tests)
    add_executable(${name}_test ${tests})
    target_link_libraries(${name}_test PRIVATE martlet_${name} GTest::gtest_main GTest::gmock)
    add_test(NAME unit.${name} COMMAND ${name}_test --gtest_brief=1)
    set_tests_properties(unit.${name} PROPERTIES LABELS unit TIMEOUT 120)
  endif()
endfunction()

# Builds every generated header and source; clang-tidy needs them, and nothing else built.
add_custom_target(martlet_generated)

# Adds the protobuf sources of a layer; generated headers are included as "layer/file.pb.h".
function(martlet_protobuf target)
  set(headers)
  foreach(proto ${ARGN})
    get_filename_component(name ${proto} NAME_WE)
    file(RELATIVE_PATH folder ${CMAKE_SOURCE_DIR}/src ${CMAKE_CURRENT_SOURCE_DIR})
    set(base ${CMAKE_BINARY_DIR}/generated/${folder}/${name})
    add_custom_command(
      OUTPUT ${base}.pb.cc ${base}.pb.h
      COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/generated
      COMMAND protobuf::protoc -I ${CMAKE_SOURCE_DIR}/src
              --cpp_out=${CMAKE_BINARY_DIR}/generated ${CMAKE_CURRENT_SOURCE_DIR}/${proto}
      DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${proto})
    list(APPEND headers ${base}.pb.h)
    target_sources(${target} PRIVATE ${base}.pb.cc)
    set_source_files_properties(${base}.pb.cc PROPERTIES COMPILE_OPTIONS "-w")
  endforeach()
  add_custom_target(${target}_generated DEPENDS ${headers})
  add_dependencies(martlet_generated ${target}_generated)
  target_include_directories(${target} SYSTEM PUBLIC ${CMAKE_BINARY_DIR}/generated)
  target_link_libraries(${target} PUBLIC protobuf::libprotobuf)
endfunction()

# Adds the gRPC services of proto files that martlet_protobuf() has already been given.
function(martlet_grpc target)
  set(headers)
  foreach(proto ${ARGN})
    get_filename_component(name ${proto} NAME_WE)
    file(RELATIVE_PATH folder ${CMAKE_SOURCE_DIR}/src ${CMAKE_CURRENT_SOURCE_DIR})
    set(base ${CMAKE_BINARY_DIR}/generated/${folder}/${name})
    add_custom_command(
      OUTPUT ${base}.grpc.pb.cc ${base}.grpc.pb.h
      COMMAND protobuf::protoc -I ${CMAKE_SOURCE_DIR}/src --grpc_out=${CMAKE_BINARY_DIR}/generated
              --plugin=protoc-gen-grpc=$<TARGET_FILE:gRPC::grpc_cpp_plugin>
              ${CMAKE_CURRENT_SOURCE_DIR}/${proto}
      DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${proto} ${base}.pb.h)
    list(APPEND headers ${base}.grpc.pb.h)
    target_sources(${target} PRIVATE ${base}.grpc.pb.cc)
    set_source_files_properties(${base}.grpc.pb.cc PROPERTIES COMPILE_OPTIONS "-w")
  endforeach()
  add_custom_target(${target}_grpc_generated DEPENDS ${headers})
  add_dependencies(${target}_grpc_generated ${target}_generated)
  add_dependencies(martlet_generated ${target}_grpc_generated)
  target_link_libraries(${target} PUBLIC gRPC::grpc++)
endfunction()
