package storetest

import (
	"fmt"
	"reflect"
	"time"
)

// Filled is a value with every field set, and no two alike, so that a field that is lost on
// its way, or that comes back in another's place, is noticed; and so is one that is added
// to the type later. Other n, other values. It panics where it does not know how to fill a
// type: then add the kind here.
func Filled[T any](n int) (v T) {
	f := &filler{step: n * 1000}
	f.fill(reflect.ValueOf(&v).Elem(), reflect.TypeFor[T]().String())
	return v
}

type filler struct{ step int }

// fill sets v, which is found at the path.
func (f *filler) fill(v reflect.Value, path string) {
	f.step++
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(someTime.Add(time.Duration(f.step) * time.Minute)))
		return
	case time.Duration:
		v.SetInt(int64(f.step) * int64(time.Millisecond))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("%d ü\x00\"", f.step))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(f.step) << 30) // more than 32 bits
	case reflect.Int8, reflect.Int16, reflect.Int32:
		v.SetInt(int64(f.step%100 + 1))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(f.step%100 + 1))
	case reflect.Float32, reflect.Float64:
		v.SetFloat(float64(f.step) + 0.5)
	case reflect.Struct:
		for i := range v.NumField() {
			f.fill(v.Field(i), path+"."+v.Type().Field(i).Name)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		f.fill(v.Index(0), path+"[0]")
		f.fill(v.Index(1), path+"[1]")
	case reflect.Map:
		key, element := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		f.fill(key, path+" key")
		f.fill(element, path+" element")
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, element)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.fill(v.Elem(), path)
	default:
		panic(fmt.Sprintf("storetest: %s is %s, which Filled does not know how to fill: add it", path, v.Type()))
	}
}
